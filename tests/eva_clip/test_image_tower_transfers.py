"""The image tower alone: fine-tuned as a classifier, probed linearly, and as teacher of pre-training."""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf
from open_clip_models import sharp_weights

from eva_backbone import create_backbone
from eva_backbone.errors import InputError
from eva_classification import create_classifier
from eva_classification.mim import MaskedImageModel
from eva_clip import build_model
from eva_clip.image_tower import image_tower_weights
from eva_clip.open_clip_weights import to_open_clip
from eva_clip.teacher import EvaClipTeacher
from eva_engine.checkpoint import build_and_load, load_checkpoint
from eva_engine.config import load_config
from eva_engine.training.adaptation.freezing import freeze_parameters
from eva_engine.training.optimization import build_optimizer

PROJECTS = Path(__file__).parents[2] / "projects"
VISUAL = {"img_size": 28, "embed_dim": 32, "depth": 2, "num_heads": 2}
TINY = {"output_dim": 24, "visual": VISUAL, "text": {"vocab_size": 60, "context_length": 12, "width": 32}}
RECIPES = {
    **dict.fromkeys(("in1k_224_finetune", "in1k_336_finetune"), "CLIP"),
    **dict.fromkeys(("linear_probe_224", "linear_probe_336"), "Classification"),
}


@pytest.fixture
def model():
    model = build_model("eva_clip_tiny", **TINY)
    model.load_state_dict(sharp_weights(model))
    return model.eval()


@pytest.fixture
def path(model, tmp_path):
    torch.save({"module": model.state_dict()}, tmp_path / "clip.pt")
    return tmp_path / "clip.pt"


PIXELS = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(1))


def recipe(name, *changes):
    return load_config(str(PROJECTS / RECIPES[name] / "configs" / f"{name}.py"), list(changes))


def bare_tokens(model):
    """Return the normalised tokens of a bare backbone with the weights of the tower."""
    backbone = create_backbone("tiny", **VISUAL)
    backbone.load_state_dict(image_tower_weights(model.state_dict()), strict=False)
    return backbone.eval()(PIXELS)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_starts_from_the_file(model, path, name):
    options = [f"model.{key}={value}" for key, value in VISUAL.items()]
    cfg = recipe(name, *options, "model.mlp_ratio=4.0")
    classifier, report = build_and_load(lambda: instantiate(cfg.model), path)
    assert {key for key in classifier.state_dict() if key not in report.used} == {
        key for key in classifier.state_dict() if key.startswith(("head", "fc_norm"))
    }
    tokens = bare_tokens(model)
    classifier.eval()
    if name.startswith("linear"):
        torch.testing.assert_close(
            classifier.forward_head(classifier.forward_features(PIXELS), pre_logits=True), tokens[:, 0]
        )
        assert model.visual.head(tokens[:, 0]).allclose(model.encode_image(PIXELS))
    else:
        assert classifier.forward_head(classifier.forward_features(PIXELS), pre_logits=True).shape == (2, 32)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_builds(name):
    cfg = recipe(name)
    with torch.device("meta"):
        classifier = instantiate(cfg.model)
    freeze_parameters(classifier, cfg.train.freeze)
    build_optimizer(cfg, classifier)
    size = int(name.split("_")[1] if name.startswith("in1k") else name.split("_")[2])
    assert cfg.model.img_size == cfg.dataloader.test.mapper.transform.size == size


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("in1k_224_finetune", "optimizer.params.decay_rate", 0.9),
        ("in1k_224_finetune", "train.max_iter", 20 * 2502),
        ("in1k_224_finetune", "dataloader.train.total_batch_size", 512),
        ("in1k_224_finetune", "dataloader.test.mapper.transform.crop_pct", 1.0),
        ("in1k_336_finetune", "optimizer.params.decay_rate", 0.9),
        ("in1k_336_finetune", "optimizer.lr", 3e-5),
        ("in1k_336_finetune", "model.pooling", "mean"),
        ("in1k_336_finetune", "train.max_iter", 20 * 2502),
        ("linear_probe_224", "model.pooling", "class"),
        ("linear_probe_224", "optimizer.lr", 1.0),
        ("linear_probe_336", "optimizer.lr", 0.6),
    ],
)
def test_published_setting(name, key, value):
    assert OmegaConf.select(recipe(name), key, throw_on_missing=True) == value


@pytest.mark.parametrize("source", ["file", "open_clip", "weights"])
def test_teacher(model, path, source):
    if source == "open_clip":
        torch.save(to_open_clip(model.state_dict()), path)
    teacher = EvaClipTeacher(model.state_dict() if source == "weights" else path, img_size=28, num_heads=2)
    features = teacher(PIXELS)
    assert not features.requires_grad
    torch.testing.assert_close(features, model.visual.forward_patch_features(PIXELS))
    assert features.shape == (2, 4, 24)
    torch.testing.assert_close(features, model.visual.head(bare_tokens(model)[:, 1:]))
    assert teacher.visual.cls_token.dtype == torch.float32


def test_teacher_at_another_size(path):
    assert EvaClipTeacher(path, img_size=56, num_heads=2)(torch.randn(1, 3, 56, 56)).shape == (1, 16, 24)


def test_pretraining_predicts_the_teacher(path):
    teacher = EvaClipTeacher(path, img_size=28, num_heads=2)
    student = MaskedImageModel(teacher=teacher, teacher_dim=24, patch_size=14, **VISUAL)
    mask = torch.tensor([[True, False, True, False]] * 2)
    loss = student({"image": PIXELS, "mask": mask})["loss_mim"]
    expected = -torch.nn.functional.cosine_similarity(student.predict(PIXELS, mask), teacher(PIXELS)[mask]).mean()
    torch.testing.assert_close(loss, expected)
    assert not any("teacher" in name for name in student.state_dict())


def test_pretraining_and_classifiers_give_a_tower(model, tmp_path):
    """As at the start of the published training: a pretrained tower with a random projection."""
    bare = create_classifier("eva_tiny_patch14", num_classes=5, pooling="class", **VISUAL)
    torch.save({"model": bare.state_dict()}, tmp_path / "bare.pt")
    head = model.visual.head.weight.clone()
    report = load_checkpoint(model, tmp_path / "bare.pt")
    assert [change.name for change in report.skipped] == ["visual.head.weight", "visual.head.bias"]
    assert torch.equal(model.visual.blocks[1].attn.qkv.weight, bare.blocks[1].attn.qkv.weight)
    assert torch.equal(model.visual.head.weight, head)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": torch.zeros(1)}, "names such as a are not those of an EVA-CLIP model"),
        ({}, r"names such as \(none\)"),
        ("without norm", "norm.bias does not fit"),
        ({"visual.blocks.0.attn.qkv.weight": torch.zeros(6, 2)}, "the image tower has no patch_embed.proj.weight"),
        ({"visual.blocks.0.attn.q_proj.weight": torch.zeros(2, 2)}, "the image tower has no patch_embed.proj.weight"),
        ("no heads", "width of 32 is not divisible into heads of 88 channels"),
    ],
)
def test_unusable_teacher(model, weights, message):
    num_heads = 2
    if isinstance(weights, str):
        num_heads = None if weights == "no heads" else 2
        weights = {
            k: v for k, v in model.state_dict().items() if "no heads" in weights or not k.startswith("visual.norm.b")
        }
    with pytest.raises(InputError, match=message):
        EvaClipTeacher(weights, num_heads=num_heads)


def test_a_plan_needs_no_file_of_the_teacher():
    """On the meta device, weights have no values."""
    with torch.device("meta"):
        tower = EvaClipTeacher("missing.pt", img_size=56).visual
    assert tower.pos_embed.shape == (1, 17, 1408)
    assert (tower.depth, tower.output_dim) == (40, 1024)
    with pytest.raises(InputError, match=r"missing\.pt does not exist"):
        EvaClipTeacher("missing.pt", img_size=56)
