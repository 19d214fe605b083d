"""EVA-02-CLIP as users and the trainer call it: patch dropout, logit scale, weight files, timm's interface, LoRA."""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf
from open_clip_models import sharp_weights
from torch import nn

from eva_backbone.errors import InputError
from eva_classification import create_classifier
from eva_clip import ImageTower, build_model, create_clip_model
from eva_clip.initialization import join_tower_weights
from eva_clip.prediction.predictor import LabelPredictor
from eva_clip.teacher import EvaClipTeacher
from eva_engine.checkpoint import build_and_load
from eva_engine.config import TRAIN_SETTINGS, load_config
from eva_engine.training.adaptation import add_lora
from eva_engine.training.optimization import layer_decay_groups

PROJECTS = Path(__file__).parents[2] / "projects"
SMALL = {"img_size": 56, "patch_size": 14, "embed_dim": 32, "depth": 2, "num_heads": 2}
TEXT = {"vocab_size": 60, "context_length": 12, "width": 16, "num_heads": 2, "num_layers": 1}
FORMS = ["eva02_clip_b16", "eva02_clip_e14"]


def tiny(name="eva02_clip_b16", **visual):
    model = build_model(name, output_dim=24, visual={**SMALL, **visual}, text=TEXT)
    model.load_state_dict(sharp_weights(model))
    return model.eval()


def pixels(count=3):
    return torch.randn(count, 3, 56, 56, generator=torch.Generator().manual_seed(1))


def token_ids():
    ids = torch.randint(1, 58, (3, 12), generator=torch.Generator().manual_seed(2))
    for row, end in enumerate((6, 3, 1)):
        ids[row, end], ids[row, end + 1 :] = 59, 0
    return ids


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("fraction", "num_kept"), [(0.5, 8), (0.3, 11), (0.99, 1)])
def test_patch_dropout_in_training_only(name, fraction, num_kept):
    tower = tiny(name, patch_dropout=fraction).visual
    seen = []
    tower.blocks[1].register_forward_hook(lambda _module, _inputs, out: seen.append(out.shape[1]))
    expected = tiny(name).visual(pixels())
    torch.testing.assert_close(tower(pixels()), expected)
    first, second = tower.train()(pixels()), tower(pixels())
    assert seen == [17, 1 + num_kept, 1 + num_kept]
    assert (first - second).abs().max() > 1e-3  # other patches each time
    kept = tower.draw_kept_patches(500, 16, torch.device("cpu"))
    assert all(len(set(row.tolist())) == num_kept for row in kept)
    assert set(kept.flatten().tolist()) == set(range(16))


@pytest.mark.parametrize("name", FORMS)
def test_kept_patches_keep_their_positions(name):
    """All patches in another order give the same embedding; the same order with other positions would not."""
    tower = tiny(name, patch_dropout=0.5).visual
    expected = tower(pixels())
    order = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(i)) for i in range(3)])
    tower.train().draw_kept_patches = lambda *_: order
    torch.testing.assert_close(tower(pixels()), expected, rtol=1e-4, atol=1e-5)
    shuffled = tower(pixels().flip(3))
    assert (shuffled - expected).abs().max() > 1e-2


def test_gradients_with_patch_dropout_and_recomputed_blocks():
    model = tiny(patch_dropout=0.5).train()
    gradients = []
    for model.visual.checkpoint_blocks in (False, True):
        model.zero_grad()
        torch.manual_seed(3)
        model({"image": pixels(), "text": token_ids()})["loss_contrastive"].backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_dropout": 1.0}, r"patch_dropout=1\.0 is out of range"),
        ({"patch_dropout": 0.5, "rel_pos": "joint"}, "tables of relative positions need all patches"),
    ],
)
def test_unusable_patch_dropout(options, message):
    with pytest.raises(InputError, match=message):
        ImageTower(8, **SMALL, **options)


def test_logit_scale_of_every_release(tmp_path):
    model = tiny()
    assert next(iter(model.state_dict())) == "logit_scale"
    assert model.logit_scale is dict(model.named_parameters())["logit_scale"]
    assert not hasattr(model.text, "logit_scale")
    weights = model.state_dict()
    weights["text.logit_scale"] = weights.pop("logit_scale")
    torch.save(weights, tmp_path / "first.pt")
    options = {"output_dim": 24, "visual": SMALL, "text": TEXT}
    again = create_clip_model("eva02_clip_b16", tmp_path / "first.pt", **options)
    assert torch.equal(again.logit_scale, model.logit_scale)
    assert torch.equal(again.encode_image(pixels()), model.encode_image(pixels()))


def test_text_tower_of_another_width_is_refused(tmp_path):
    torch.save(tiny().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputError, match="have a text tower of width 16, this model has one of width 32; give the"):
        create_clip_model(
            "eva02_clip_b16", tmp_path / "weights.pt", strict=False, visual=SMALL, text={**TEXT, "width": 32}
        )


SIZES = [
    *(f"model.visual.{name}={value}" for name, value in SMALL.items()),
    *(f"model.text.{name}={value}" for name, value in TEXT.items()),
    "model.output_dim=24",
]
CLIP = "CLIP/configs/{}.py"


@pytest.mark.parametrize(
    ("weights_of", "recipe", "message"),
    [
        ("eva02_clip_b16", CLIP.format("zero_shot_in1k"), "its blocks have attn.q_proj, without which"),
        ("eva02_clip_b16", CLIP.format("eva_clip_g14_plus_zero_shot_in1k"), "its blocks have attn.q_proj"),
        ("eva_clip_g14", CLIP.format("eva02_clip_b16_zero_shot_in1k"), "belongs to another model"),
        ("eva_clip_g14_plus", CLIP.format("eva02_clip_l14_retrieval_coco"), "belongs to another model"),
    ],
)
def test_another_architecture_of_the_same_size_is_refused(weights_of, recipe, message, tmp_path):
    """In training, evaluation and prediction; half of the entries have the same names and shapes."""
    torch.save(tiny(weights_of).state_dict(), tmp_path / "weights.pt")
    cfg = load_config(str(PROJECTS / recipe), SIZES)
    for load in (
        lambda path: build_and_load(lambda: instantiate(cfg.model), path),
        lambda path: LabelPredictor.from_config(cfg, path, "cpu", labels=["a", "b"]),
    ):
        with pytest.raises(InputError, match=message) as error:
            load(tmp_path / "weights.pt")
        assert "\n" not in str(error.value)


def test_an_image_tower_with_inner_norms_is_refused_by_a_classifier_without_them(tmp_path):
    torch.save(tiny().state_dict(), tmp_path / "weights.pt")
    options = {"num_classes": 5, **SMALL}
    with pytest.raises(InputError, match=r"its blocks have attn\.inner_attn_ln"):
        create_classifier("eva02_base_patch14", tmp_path / "weights.pt", strict=False, **options)
    model = create_classifier(
        "eva02_base_patch14", tmp_path / "weights.pt", strict=False, attention_norm=True, pooling="class", **options
    )
    tokens = model.forward_head(model.forward_features(pixels()), pre_logits=True)
    torch.testing.assert_close(tiny().visual.head(tokens), tiny().encode_image(pixels()))


@pytest.mark.parametrize("name", FORMS)
def test_teacher_and_initial_weights(name):
    """Heads of 64 channels, or of 112 in post-norm towers of width 1792, are those of the released models."""
    sizes = {"embed_dim": 128} if name == "eva02_clip_b16" else {"embed_dim": 1792, "num_heads": 16, "depth": 1}
    model = tiny(name, **sizes, mlp_ratio=1.0)
    weights = {**model.state_dict(), "visual.rope.freqs_cos": torch.zeros(16, 16)}
    teacher = EvaClipTeacher(weights, img_size=56)
    torch.testing.assert_close(teacher(pixels()), model.visual.forward_patch_features(pixels()))
    joined = join_tower_weights(weights, weights)
    fresh = {"visual.head.weight", "visual.head.bias", "text.text_projection", "logit_scale"}
    assert model.state_dict().keys() - joined.keys() == fresh
    assert joined.keys() <= model.state_dict().keys()


def test_default_targets_of_lora_and_layers():
    model = tiny()
    settings = OmegaConf.merge(OmegaConf.create(TRAIN_SETTINGS).lora, {"rank": 2})
    groups = layer_decay_groups(model.visual, 1.0, 0.1, 0.5)
    assert {group["lr"] for group in groups} == {0.5**3, 0.5**2, 0.5, 1.0}
    add_lora(model, settings)
    adapted = {name.removesuffix(".lora_A.default.weight") for name, _ in model.named_parameters() if "lora_A" in name}
    layers = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.proj", "mlp.w1", "mlp.w2", "mlp.w3")
    assert adapted == {f"visual.blocks.{i}.{layer}" for i in range(2) for layer in layers}
    model.train()({"image": pixels(), "text": token_ids()})["loss_contrastive"].backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "lora_B" in name)


def test_timm_interface():
    model = tiny()
    tokens, maps = model.forward_intermediates(pixels(), indices=[0, 1])
    assert [tuple(feature.shape) for feature in maps] == [(3, 32, 4, 4)] * 2
    embedding = model.visual.head(tokens[:, 0])
    torch.testing.assert_close(embedding, model.encode_image(pixels()))
    assert model.no_weight_decay() == {"visual.pos_embed", "visual.cls_token"}
    attention = model.visual.forward_intermediates(pixels(), return_attention=True)[2]
    torch.testing.assert_close(attention[0].sum(-1), torch.ones(3, 2, 17))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    expected = tiny()({"image": pixels(), "text": token_ids()})
    found = tiny().to(dtype)({"image": pixels(), "text": token_ids()})
    for name, value in found.items():
        assert value.dtype == dtype
        torch.testing.assert_close(value.float(), expected[name], rtol=0, atol=0.06)


def test_export():
    model = tiny().visual
    program = torch.export.export(model, (pixels(),))
    torch.testing.assert_close(program.module()(pixels()), model(pixels()))
    assert isinstance(model.blocks, nn.ModuleList)
