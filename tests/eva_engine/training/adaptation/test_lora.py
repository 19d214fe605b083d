"""Low-rank adapters: which layers have them, their training, what else is trained, and merging."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from small_detector import DEPTH, LORA, SETTINGS, SmallDetector, assert_same, gradients, pixels, trained_names
from torch import nn

from eva_backbone.deferred_init import deferred_init
from eva_backbone.errors import InputError
from eva_engine.checkpoint.lora_weights import merge_lora_weights
from eva_engine.config import load_config
from eva_engine.training.adaptation import adapt_model, add_lora, merge_lora

ADAPTED = [
    f"backbone.net.blocks.{i}.{layer}"
    for i in range(DEPTH)
    for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
]
CONFIGS = Path(__file__).parents[4] / "projects" / "ViTDet" / "configs"


def adapter_names(layers):
    return {f"{layer}.lora_{letter}.default.weight" for layer in layers for letter in "AB"}


def adapted_model(plain=None, settings=LORA, **options):
    """A model with adapters that make a difference."""
    model = SmallDetector(**options) if plain is None else copy.deepcopy(plain)
    add_lora(model, settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
    return model


@pytest.mark.parametrize("options", [{}, {"beit_like_qkv_bias": False}, {"qkv_bias": False}])
def test_adapters_change_nothing_at_first(options):
    plain = SmallDetector(**options).eval()
    model = copy.deepcopy(plain)
    add_lora(model, LORA)
    torch.testing.assert_close(model.eval()(pixels()), plain(pixels()), rtol=1e-5, atol=1e-5)
    assert not hasattr(model, "peft_config")


@pytest.mark.parametrize("how", ["", "torch", "fairscale"])
@pytest.mark.parametrize("options", [{}, {"beit_like_qkv_bias": False}])
def test_every_adapter_gets_a_gradient(options, how):
    if how == "fairscale":
        pytest.importorskip("fairscale")
    model = SmallDetector(**options)
    adapt_model(model, SETTINGS | {"lora": LORA, "activation_checkpointing": how})
    first = gradients(model)  # B is zero, so that A learns only from the second step on
    assert set(first) == adapter_names(ADAPTED) | {"head.weight", "head.bias"} == set(trained_names(model))
    assert all(value.abs().max() > 0 for name, value in first.items() if "lora_A" not in name)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter -= 0.1 * parameter.grad
    assert all(value.abs().max() > 0 for value in gradients(model).values())


def test_gradients_are_those_of_the_formula():
    model = adapted_model()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    plain = SmallDetector()
    plain.load_state_dict(merge_lora_weights(weights, LORA))
    of_weight = gradients(plain)
    for name, value in gradients(model).items():
        layer, _, letter = name.removesuffix(".default.weight").rpartition(".lora_")
        if layer:
            scale, full = LORA["alpha"] / LORA["rank"], of_weight[f"{layer}.weight"]
            up, down = (weights[f"{layer}.lora_{x}.default.weight"] for x in "BA")
            expected = scale * (up.T @ full if letter == "A" else full @ down.T)
            torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"beit_like_qkv_bias": False}])
@pytest.mark.parametrize("settings", [LORA, LORA | {"rank": 3, "alpha": 1.5, "targets": r".*attn\.qkv|head"}])
def test_merging_gives_plain_weights_that_compute_the_same(options, settings):
    plain = SmallDetector(**options).eval()
    model = adapted_model(plain, settings).eval()
    expected = model(pixels())
    assert (expected - plain(pixels())).abs().max() > 0.1
    merged_state = merge_lora_weights(model.state_dict(), settings)
    merge_lora(model)
    assert [(name, type(module)) for name, module in model.named_modules()] == [
        (name, type(module)) for name, module in plain.named_modules()
    ]
    assert list(merged_state) == list(plain.state_dict())
    assert_same(merged_state, dict(model.state_dict()))
    torch.testing.assert_close(model(pixels()), expected, rtol=1e-4, atol=1e-5)


def test_half_precision_weights_are_merged_in_float32():
    weights = {name: value.bfloat16() for name, value in adapted_model().state_dict().items()}
    layer = ADAPTED[0]
    weight, down, up = (
        weights[f"{layer}.{part}.weight"].double() for part in ("base_layer", "lora_A.default", "lora_B.default")
    )
    merged = merge_lora_weights(weights, LORA)[f"{layer}.weight"]
    assert torch.equal(merged, (weight + LORA["alpha"] / LORA["rank"] * up @ down).bfloat16())


def test_plain_weights_and_plain_models_pass_through_merging():
    model = SmallDetector()
    before = dict(model.state_dict())
    assert_same(merge_lora_weights(before, SETTINGS["lora"]), before)
    merge_lora(model)
    assert_same(dict(model.state_dict()), before)


def test_rank_zero_changes_nothing():
    model = SmallDetector()
    adapt_model(model, SETTINGS)
    assert list(model.state_dict()) == list(SmallDetector().state_dict())
    assert len(trained_names(model)) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("targets", "layers", "trained"),
    [
        (r".*\.blocks\.[01]\.attn\.qkv", ["backbone.net.blocks.0.attn.qkv", "backbone.net.blocks.1.attn.qkv"], "head"),
        ("head", ["head"], "backbone"),
    ],
)
def test_what_is_trained_beside_the_adapters(targets, layers, trained):
    model = SmallDetector()
    plain = {name for name in trained_names(model) if name.startswith(trained)}
    add_lora(model, LORA | {"targets": targets})
    assert set(trained_names(model)) == adapter_names(layers) | plain


def test_what_was_frozen_stays_frozen():
    model = SmallDetector()
    adapt_model(model, SETTINGS | {"lora": LORA, "freeze": ["backbone.*", "head.bias"]})
    assert set(trained_names(model)) == adapter_names(ADAPTED) | {"head.weight"}


def test_blocks_with_adapters_keep_their_drop_path():
    model = SmallDetector(drop_path_rate=0.5)
    adapt_model(model, SETTINGS | {"lora": LORA | {"targets": r".*\.blocks\.[23]\.mlp\.fc1"}})
    drops = [type(block.drop_path).__name__ for block in model.backbone.net.blocks]
    assert drops == ["Identity", "Identity", "DropPath", "DropPath"]


def test_dropout_acts_in_training_and_is_repeated_by_recomputation():
    model = adapted_model(settings=LORA | {"dropout": 0.5})
    other = copy.deepcopy(model)
    other.backbone.net.checkpoint_blocks = True
    assert_same(gradients(model, 1), gradients(other, 1))
    assert not torch.equal(gradients(model, 1)["head.weight"], gradients(model, 2)["head.weight"])


def test_autocast_reaches_the_adapters():
    model = adapted_model().eval()
    expected = model(pixels())
    with torch.autocast("cpu", torch.bfloat16):
        attention = model.backbone.net.blocks[0].attn
        assert attention(torch.randn(1, 4, 16), (2, 2)).dtype == torch.bfloat16
        result = model(pixels()).float()
    assert (result - expected).norm() < 0.05 * expected.norm()


def test_adapters_can_be_added_before_weights_are_there():
    with deferred_init() as pending:
        late = SmallDetector()
        add_lora(late, LORA)
    pending.materialize(late)
    names = [name for name in late.state_dict() if "lora_" in name]
    assert all((late.state_dict()[name].abs().max() > 0) == (".lora_A." in name) for name in names)
    other = adapted_model()
    late.load_state_dict(other.state_dict())
    assert torch.equal(late.eval()(pixels()), other.eval()(pixels()))


def test_the_published_detector_with_the_settings_of_the_recipe():
    cfg = load_config(str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_eva.py"))
    with torch.device("meta"):
        model = instantiate(cfg.model)
    plain = list(model.state_dict())
    adapt_model(model, {**cfg.train, "lora": {**cfg.train.lora, "rank": 8}})
    assert all(value.device.type == "meta" for value in model.state_dict().values())
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    adapters = {name for name in trained if ".lora_" in name}
    width, hidden = 1408, 6144
    assert sum(trained[name].numel() for name in adapters) == 40 * 8 * (4 * width + 2 * width + 2 * (width + hidden))
    assert all(not name.startswith("backbone.net.") for name in set(trained) - adapters)
    other_parts = {name.split(".")[0] for name in set(trained) - adapters}
    assert other_parts == {"backbone", "proposal_generator", "roi_heads"}
    assert list(merge_lora_weights(model.state_dict(), {**cfg.train.lora, "rank": 8})) == plain


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"targets": r".*\.atn\.qkv"}, r"matches no linear layer.*backbone\.net\.blocks\.\{0-3\}\.attn\.\{qkv,proj\}"),
        ({"targets": "qkv"}, "must match full names"),
        ({"targets": r".*\.norm1"}, "matches no linear layer"),
        ({"targets": "(qkv"}, "is not a regular expression"),
        ({"targets": "(" * 10_000}, "is not a regular expression"),
        ({"targets": "(.*)*x"}, "repeats too much"),
        ({"targets": "(?x)(.*) *x"}, "has the flag x, with which spaces"),
        ({"targets": "(?ix:(.*) *x)"}, "has the flag x, with which spaces"),
        ({"targets": ".*" * 20 + "x"}, "repeats too much"),
        ({"rank": -1}, "the rank is 0 or more"),
        ({"dropout": 1.0}, "the dropout from 0 to below 1"),
    ],
)
def test_unusable_settings_are_refused(changes, sentence):
    model = SmallDetector()
    with pytest.raises(InputError, match=sentence):
        add_lora(model, LORA | changes)
    assert list(model.state_dict()) == list(SmallDetector().state_dict())


@pytest.mark.parametrize(
    ("settings", "drop", "sentence"),
    [
        (LORA | {"rank": 4}, "none", "has an adapter of rank 2, but train.lora.rank is 4"),
        (SETTINGS["lora"], "none", "need a rank of 1 or more and a number alpha"),
        (LORA, f"{ADAPTED[0]}.lora_B.default.weight", "lora_B.default.weight is missing"),
    ],
)
def test_weights_that_do_not_fit_the_settings_are_refused(settings, drop, sentence):
    weights = {name: value for name, value in adapted_model().state_dict().items() if name != drop}
    with pytest.raises(InputError, match=sentence):
        merge_lora_weights(weights, settings)


def test_a_broken_adapter_is_not_merged():
    model = adapted_model()
    nn.init.constant_(model.backbone.net.blocks[0].attn.qkv.lora_B.default.weight, float("nan"))
    with pytest.raises(ValueError, match="NaNs detected"):
        merge_lora(model)


def test_missing_peft_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    model = SmallDetector()
    add_lora(model, SETTINGS["lora"])
    with pytest.raises(InputError, match="pip install peft"):
        add_lora(model, LORA)


def test_peft_is_imported_only_when_used():
    script = (
        "import sys, eva_engine.training.adaptation as adaptation\n"
        "print(*({'peft', 'transformers', 'accelerate', 'fairscale'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == ""
