"""Masked image modelling: batches, different teachers, and which parameters belong to the model."""

import copy
import math
import random
import re

import pytest
import torch
from torch import nn

from eva_backbone.deferred_init import deferred_init
from eva_backbone.errors import InputError
from eva_classification import create_masked_image_model
from eva_classification.mim import BlockMasking, ClipTeacher, alternating_mask

TINY = {"name": "eva_tiny_patch14", "img_size": 56, "embed_dim": 32, "depth": 2, "num_heads": 2, "teacher_dim": 8}
MASKING = BlockMasking((4, 4), num_masked=6, min_block=2)


class PatchTeacher(nn.Module):
    """Any module that gives a feature per patch will do."""

    def __init__(self, dim=8, patch=14):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)
        self.dropout = nn.Dropout(0.5)

    def forward(self, pixels):
        return self.dropout(self.proj(pixels)).flatten(2).transpose(1, 2)


@pytest.fixture
def model():
    return create_masked_image_model(**TINY, teacher=PatchTeacher(), masking=MASKING).train()


def cosine_loss(model, images, mask):
    predictions = model.lm_head(model.forward_features(images, mask)[:, 1:])
    cosines = nn.functional.cosine_similarity(predictions, model.teacher(images), dim=-1)
    return -cosines[mask].mean()


def test_training_draws_masks(model):
    images = torch.randn(3, 3, 56, 56)
    random.seed(5)
    losses = model({"image": images, "label": torch.zeros(3)})
    random.seed(5)
    mask = MASKING.draw_batch(3)
    assert losses.keys() == {"loss_mim"}
    torch.testing.assert_close(losses["loss_mim"], cosine_loss(model, images, mask))
    losses["loss_mim"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 16)])
def test_masks_of_the_batch(model, shape):
    images, mask = torch.randn(2, 3, 56, 56), torch.rand(shape) < 0.5
    loss = model({"image": images, "mask": mask})["loss_mim"]
    torch.testing.assert_close(loss, cosine_loss(model, images, mask.flatten(1)))


def test_validation_hides_every_second_patch(model):
    model.eval()
    images = torch.randn(3, 3, 56, 56)
    per_image = model({"image": images})
    mask = alternating_mask(16).expand(3, -1)
    assert mask[0].tolist() == [True, False] * 8
    expected = torch.stack([cosine_loss(model, images[i : i + 1], mask[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(per_image, expected)


def test_hidden_patches_do_not_reach_the_prediction(model):
    images, mask = torch.randn(1, 3, 56, 56), torch.zeros(1, 16, dtype=torch.bool)
    mask[0, 0] = True
    other = images.clone()
    other[:, :, :14, :14] += 1
    torch.testing.assert_close(model.predict(images, mask), model.predict(other, mask))
    other[:, :, 14:, :14] += 1
    assert not torch.allclose(model.predict(images, mask), model.predict(other, mask))


def test_teacher_is_frozen_and_stays_out(model):
    assert not any("teacher" in name for name in model.state_dict())
    assert not any(parameter.requires_grad for parameter in model.teacher.module.parameters())
    model.train()
    assert not model.teacher.module.training
    assert copy.deepcopy(model).teacher is model.teacher
    before = model.teacher.module.proj.weight.clone()
    model.half()
    assert torch.equal(model.teacher.module.proj.weight, before)


def test_teacher_made_while_initialisation_is_deferred():
    with deferred_init() as pending:
        model = create_masked_image_model(**TINY, teacher=PatchTeacher(), masking=MASKING)
    pending.materialize(model)
    weight = model.teacher.module.proj.weight
    assert weight.std().item() == pytest.approx(PatchTeacher().proj.weight.std().item(), rel=0.1)
    assert model.mask_token.std().item() == pytest.approx(0.0081, rel=0.5)


def test_branches_of_post_norm_blocks_start_at_zero():
    model = create_masked_image_model(**TINY, post_norm=True)
    images, mask = torch.randn(1, 3, 56, 56), torch.zeros(1, 16, dtype=torch.bool)
    patches, grid = model.patch_embed(images)
    torch.testing.assert_close(model.forward_features(images, mask), model.norm(model.add_positions(patches, grid)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": None}, "this model has no teacher: pass one"),
        ({"teacher": PatchTeacher(), "masking": None}, "pass masking=BlockMasking"),
        ({"teacher": PatchTeacher(dim=9)}, r"features of shape \[2, 16, 9\], but the model predicts \[2, 16, 8\]"),
        ({"teacher": PatchTeacher(patch=28)}, r"features of shape \[2, 4, 8\]"),
    ],
)
def test_missing_teacher_or_mask_and_wrong_features(options, message):
    model = create_masked_image_model(**{**TINY, "masking": MASKING, **options}).train()
    with pytest.raises(InputError, match=message):
        model({"image": torch.randn(2, 3, 56, 56)})


def test_masks_never_span_the_grid():
    masking = BlockMasking((6, 6), num_masked=20, min_block=4, max_block=8)
    rng = random.Random(0)
    for _ in range(200):
        mask = masking.draw(rng)
        assert 0 < mask.sum() <= 20
    assert masking.draw(random.Random(1)).tolist() == masking.draw(random.Random(1)).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_masked": 0}, "num_masked=0 patches cannot be hidden in a grid of 16 x 16"),
        ({"num_masked": 256}, "num_masked=256"),
        ({"grid": (4, 4), "num_masked": 6}, "min_block=16 or .* num_masked=6"),
        ({"min_aspect": 0}, "min_aspect=0"),
        ({"max_block": 0}, "max_block=0, min_block must be 1 to 0"),
        ({"max_block": 15}, "max_block=15, min_block must be 1 to 15"),
        ({"grid": (4, 4), "num_masked": 15, "min_block": 13}, "min_block must be 1 to 9"),
    ],
)
def test_impossible_masks(options, message):
    with pytest.raises(InputError, match=message):
        BlockMasking(**options)


def clip_weights(**changes):
    """A tower of one block, with OpenAI's names."""
    width, patch, side = 64, 14, 4
    shapes = {
        "class_embedding": (width,),
        "positional_embedding": (side**2 + 1, width),
        "proj": (width, 8),
        "conv1.weight": (width, 3, patch, patch),
        **{f"{norm}.{leaf}": (width,) for norm in ("ln_pre", "ln_post") for leaf in ("weight", "bias")},
    }
    block = {
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
        **{f"{norm}.{leaf}": (width,) for norm in ("ln_1", "ln_2") for leaf in ("weight", "bias")},
    }
    shapes |= {f"transformer.resblocks.0.{name}": shape for name, shape in block.items()} | changes
    return {f"visual.{name}": torch.randn(shape) * 0.1 for name, shape in shapes.items() if shape is not None}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_teacher_from_a_file(tmp_path, dtype):
    weights = {name: value.to(dtype) for name, value in clip_weights().items()}
    text = {"token_embedding.weight": torch.zeros(3, 2), "logit_scale": torch.ones(())}
    torch.save({"state_dict": {**text, **weights}}, tmp_path / "clip.pt")
    images = torch.randn(2, 3, 56, 56)
    teacher = ClipTeacher(tmp_path / "clip.pt", img_size=56)
    features = teacher(images)
    assert (features.shape, features.dtype) == ((2, 16, 8), torch.float32)
    assert torch.equal(features, ClipTeacher(weights, img_size=56)(images))
    assert not torch.allclose(features, ClipTeacher(weights, 56, quick_gelu=False)(images), atol=1e-4)
    model = create_masked_image_model(**TINY, teacher=teacher, masking=MASKING).train()
    assert model({"image": images})["loss_mim"].isfinite()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_teacher_from_a_program(tmp_path):
    """OpenAI's files are TorchScript archives."""
    teacher, images = ClipTeacher(clip_weights(), 56), torch.randn(2, 3, 56, 56)
    torch.jit.trace(teacher, images).save(tmp_path / "clip.pt")
    assert torch.equal(ClipTeacher(tmp_path / "clip.pt", 56)(images), teacher(images))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proj": None}, "has no proj, which the image tower of every CLIP ViT has"),
        ({"ln_pre.bias": (3,)}, "ln_pre.bias does not match"),
        ({"ln_mid.bias": (3,)}, "ln_mid.bias does not match"),
    ],
)
def test_weights_of_other_models_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ClipTeacher(clip_weights(**changes), 56)


@pytest.mark.parametrize("normed", [False, True])
def test_xavier_initialisation(normed):
    """The deviations of Glorot and Bengio, 2010, larger in the branches of a model whose MLPs have a norm."""
    options = {"mlp": "swiglu", "mlp_norm": True, "qkv_layers": "separate"} if normed else {"mlp": "packed_swiglu"}
    model = create_masked_image_model(
        "eva02_tiny_patch14", img_size=56, depth=3, init="xavier", teacher_dim=100, **options
    )
    scale = math.log(6) ** 0.5 if normed else 1.0
    for name, weight in model.named_parameters():
        if name in ("cls_token", "mask_token", "pos_embed"):
            # A normal distribution truncated at one deviation has 0.54 of it.
            assert weight.abs().max() <= 0.02
            assert weight.std().item() == pytest.approx(0.0108, rel=0.2)
        elif weight.ndim == 1:
            assert (
                torch.all(weight == ("norm" in name or "ffn_ln" in name) * name.endswith("weight")) or "patch" in name
            )
        else:
            matrix = weight.flatten(1)
            expected = (2 / sum(matrix.shape)) ** 0.5
            if re.search(r"mlp\.w|attn\.proj|attn\.v_proj", name):
                expected *= scale
            assert matrix.std().item() == pytest.approx(expected, rel=0.03), name
            uniform = "patch_embed" in name  # whose largest value is sqrt(3) deviations
            assert (matrix.abs().max() < 1.75 * expected) == uniform, name


def test_unknown_initialisation():
    with pytest.raises(InputError, match="init='zeros'"):
        create_masked_image_model("eva_tiny_patch14", init="zeros")
