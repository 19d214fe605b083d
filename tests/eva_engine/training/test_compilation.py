"""Blocks are compiled in place: what they share, what stays as it was, and what is refused."""

import copy

import pytest
import torch
import torch._inductor.config
from compiled_blocks import count_compilations, require_compiler
from omegaconf import OmegaConf
from small_detector import LORA, SETTINGS, SmallDetector, assert_same, gradients, pixels
from timm.layers import DropPath
from torch import nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_engine import compilation
from eva_engine.compilation import check_compilation, compile_blocks, compile_for_prediction, uncompiled
from eva_engine.config import TRAIN_SETTINGS
from eva_engine.training.adaptation import adapt_model, merge_lora

SIZES = [(32, 32), (40, 32), (24, 48), (56, 40), (48, 24)]


@pytest.fixture
def compilations(monkeypatch):
    return count_compilations(monkeypatch)


def vision_transformer(**options):
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 5, "num_heads": 2, "mlp_ratio": 2.0}
    return VisionTransformer(**{**sizes, **options})


def backward(model, images):
    model.zero_grad()
    model(images).square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize(
    "options",
    [
        {"rope": True, "mlp": "swiglu", "mlp_norm": True},
        {"rel_pos": "joint", "rel_pos_resize": "beit"},
        {"rel_pos": "decomposed", "class_token": False},
        {"rel_pos": "decomposed", "rel_pos_resize": "beit", "class_token": False},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values() if isinstance(value, str)),
)
def test_the_number_of_programs_is_bounded(options, compilations):
    """A few for the first size and a few for all others, whatever the depth and the rates of stochastic depth."""
    model = vision_transformer(drop_path_rate=0.4, **options).train()
    compile_blocks(model, "train.compile=True")
    counts = []
    for height, width in SIZES:
        backward(model, torch.randn(2, 3, height, width))
        counts.append(compilations.count)
    assert counts[0] == 2  # the first block has no stochastic depth
    assert counts[-1] == counts[-2] <= 8


def test_any_size_gives_the_gradients_of_uncompiled_blocks(compilations):
    model = vision_transformer(rel_pos="decomposed", rel_pos_resize="beit", class_token=False)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    compile_blocks(model, "train.compile=True")
    for height, width in SIZES:
        images = torch.randn(2, 3, height, width)
        compiled = backward(model, images)
        with uncompiled(model):
            torch.testing.assert_close(backward(model, images), compiled)
    assert compilations.count > 1


@pytest.mark.parametrize("model_checkpoints", [False, True])
def test_adapters_and_activation_checkpointing(model_checkpoints, compilations):
    pytest.importorskip("peft")
    plain, model = (SmallDetector(use_act_checkpoint=model_checkpoints) for _ in range(2))
    how = "" if model_checkpoints else "torch"
    for changed in (plain, model):
        adapt_model(changed, {**SETTINGS, "lora": LORA, "activation_checkpointing": how})
    model.load_state_dict(plain.state_dict())
    compile_blocks(model, "train.compile=True")
    torch.testing.assert_close(gradients(model), gradients(plain))
    assert compilations.count == 3  # windows or not, and the first block, whose input needs no gradient
    merge_lora(model)
    assert list(model.state_dict()) == list(SmallDetector().state_dict())


def test_names_and_state_are_unchanged_and_copies_are_uncompiled(compilations):
    plain, model = SmallDetector(drop_path_rate=0.3), SmallDetector(drop_path_rate=0.3)
    compile_blocks(model, "train.compile=True")
    assert [name for name, _ in model.named_modules()] == [name for name, _ in plain.named_modules()]
    model.load_state_dict(plain.state_dict())
    assert_same(model.state_dict(), plain.state_dict())
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        average = copy.deepcopy(model).eval()(pixels())
        assert compilations.count == 0
        torch.testing.assert_close(average, plain.eval()(pixels()), rtol=0, atol=0)


def test_evaluation_inside_of_a_run_is_that_of_uncompiled_blocks(compilations):
    plain, model = SmallDetector(), SmallDetector()
    model.load_state_dict(plain.state_dict())
    compile_blocks(model, "train.compile=True")
    with torch.no_grad(), uncompiled(model.eval()):
        torch.testing.assert_close(model(pixels()), plain.eval()(pixels()), rtol=0, atol=0)
    assert compilations.count == 0
    gradients(model)
    assert compilations.count == 2


def test_stochastic_depth_drops_branches_of_samples_at_its_rate():
    model = vision_transformer(depth=2, drop_path_rate=0.3)
    layer = model.blocks[1].drop_path
    assert isinstance(layer, DropPath)
    compilation._share_stochastic_depth(model.blocks[1])
    layer = model.blocks[1].drop_path.train()
    torch.manual_seed(0)
    out = layer(torch.ones(20_000, 3, 2))
    assert torch.equal(out, out[:, :1, :1].expand_as(out))
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(layer.eval()(out), out)


def test_compiled_for_prediction():
    require_compiler()
    torch._dynamo.reset()
    plain, model = SmallDetector(), SmallDetector()
    model.load_state_dict(plain.state_dict())
    compile_for_prediction(model.eval(), "cpu")
    with torch.inference_mode():
        torch.testing.assert_close(model(pixels()), plain.eval()(pixels()))


def train_settings(**changes):
    return OmegaConf.merge(TRAIN_SETTINGS, {"device": "cpu", "compile": True}, changes)


def test_a_machine_without_a_compiler_is_one_sentence(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(InputError, match=r"^train.compile=True cannot compile .* install a C\+\+ compiler"):
        check_compilation(train_settings())
    with pytest.raises(InputError, match=r"^--compile cannot compile"):
        compile_for_prediction(SmallDetector(), "cpu")
    check_compilation(train_settings(compile=False))


def test_settings_that_exclude_it_are_refused():
    with pytest.raises(InputError, match=r"set train\.activation_checkpointing=torch or"):
        check_compilation(train_settings(activation_checkpointing="fairscale"))
    with pytest.raises(InputError, match="works on transformer blocks"):
        compile_blocks(nn.Linear(2, 2), "train.compile=True")
