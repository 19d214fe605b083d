"""One pre-training checkpoint of EVA-02 in the models of all its tasks: equal tensors, and equal tokens.

Where two models run the same operations on the same shapes, equality is exact.
"""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from one_backbone_models import backbone_of
from torch import Tensor, nn

from eva_classification import create_classifier, create_masked_image_model
from eva_clip import build_model
from eva_engine.checkpoint import build_and_load
from eva_engine.config import load_config
from eva_semseg import create_segmentation_model

NAME = "eva02_base_patch14"
WIDTH, DEPTH = 24, 4
SMALL = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2}
DETECTOR = "projects/ViTDet/configs/eva2_mim_to_coco/eva2_coco_cascade_mask_rcnn_vitdet_b_4attn_1024_lrd0p7.py"
PATCH_14 = ("classifier", "pre-training", "CLIP")


def detector() -> nn.Module:
    cfg = load_config(str(Path(__file__).parents[1] / DETECTOR)).model
    cfg.backbone.net.update(**SMALL, img_size=256, window_block_indexes=[0], window_size=16)
    cfg.backbone.update(square_pad=256, out_channels=16)
    cfg.proposal_generator.head.in_channels = 16
    for head in (*cfg.roi_heads.box_heads, cfg.roi_heads.mask_head):
        head.update(conv_dims=[16, 16])
        head.input_shape.channels = 16
    return instantiate(cfg)


def upernet() -> nn.Module:
    return create_segmentation_model(
        "eva02_base_upernet",
        num_classes=3,
        backbone={**SMALL, "img_size": 256, "out_indices": (0, 1, 2, 3)},
        decode_head={"channels": 8},
        auxiliary_head={"channels": 8},
    )


def clip() -> nn.Module:
    # Without the norms inside attention, which pre-training does not have.
    text = {"width": 16, "num_heads": 2, "num_layers": 1, "vocab_size": 20}
    visual = {**SMALL, "attention_norm": False, "patch_size": 14}
    return build_model("eva02_clip_l14", output_dim=8, visual=visual, text=text)


MODELS = {
    "classifier": lambda: create_classifier(NAME, num_classes=5, **SMALL),
    "pre-training": lambda: create_masked_image_model(NAME, teacher_dim=8, init="xavier", **SMALL),
    "CLIP": clip,
    "segmentation": upernet,
    "detector": detector,
}


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> tuple[Path, dict[str, Tensor]]:
    """Weights with which attention is far from uniform and every entry matters, in half precision as published."""
    generator, weights = torch.Generator().manual_seed(8), {}
    for name, value in MODELS["pre-training"]().state_dict().items():
        base = 1.0 if ("norm" in name or "ffn_ln" in name) and name.endswith("weight") else 0.0
        scale = 1.5 * value[0].numel() ** -0.5 if value.ndim in (2, 4) else 0.3
        weights[name] = (base + scale * torch.randn(value.shape, generator=generator)).half()
    path = tmp_path_factory.mktemp("weights") / "eva02_B_pt_in21k_p14.pt"
    torch.save({"model": weights}, path)
    return path, {name: value.float() for name, value in weights.items()}


@pytest.fixture(scope="module")
def models(file) -> dict[str, nn.Module]:
    return {name: build_and_load(build, file[0])[0].eval() for name, build in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
def test_the_same_tensors(name, models, file):
    state = backbone_of(models[name]).state_dict()
    blocks = {entry: value for entry, value in file[1].items() if entry.startswith("blocks.")}
    assert {entry for entry in state if entry.startswith("blocks.")} == blocks.keys()
    for entry, value in blocks.items():
        assert torch.equal(state[entry], value), entry
    assert not any("rope" in entry for entry in models[name].state_dict())


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_blocks_on_the_same_tokens(name, models):
    """A class token and 256 patches; for the detector the patches alone, as it has no class token."""
    tokens = torch.randn(2, 257, WIDTH, generator=torch.Generator().manual_seed(1))
    expected = models["pre-training"]
    if name == "detector":
        # The first block has windows of the size of the grid, which is global attention.
        options = {"teacher_dim": 8, "class_token": False, **SMALL}
        expected = create_masked_image_model(NAME, **options).eval()
        expected.blocks.load_state_dict(models["pre-training"].blocks.state_dict())
        tokens = tokens[:, 1:]
    found = backbone_of(models[name]).run_blocks(tokens, (16, 16))
    # The grid of patch 16 counts the same positions, since rotary positions are relative to the size of the grid.
    torch.testing.assert_close(
        found, expected.run_blocks(tokens, (16, 16)), rtol=0, atol=0 if name != "detector" else 1e-5
    )


@pytest.mark.parametrize("name", PATCH_14)
@torch.no_grad()
def test_the_same_pixels(name, models):
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    model, reference = models[name], models["pre-training"]
    expected = reference.run_blocks(reference.add_positions(*reference.patch_embed(pixels)), (16, 16))
    calls = {
        "classifier": (lambda: model(pixels), lambda: model.head(model.fc_norm(expected[:, 1:].mean(1)))),
        "pre-training": (
            lambda: model.forward_features(pixels, torch.zeros(2, 256, dtype=torch.bool)),
            lambda: model.norm(expected),
        ),
        "CLIP": (lambda: model.encode_image(pixels), lambda: model.visual.head(model.visual.norm(expected[:, 0]))),
    }
    call, expected_output = calls[name]
    torch.testing.assert_close(call(), expected_output(), rtol=0, atol=0)


def test_rotation_matters(models):
    """Without it, all of the above would hold as well."""
    tokens = torch.randn(1, 257, WIDTH, generator=torch.Generator().manual_seed(1))
    model = models["pre-training"]
    with torch.no_grad():
        one, other = (model.run_blocks(tokens, grid) for grid in ((16, 16), (8, 32)))
    assert (one - other).abs().max() > 0.05
