"""A pre-training checkpoint, and narrow versions of the published models that start from it."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from detectron2.config import LazyConfig, instantiate
from torch import Tensor, nn

from eva_backbone import VisionTransformer
from eva_classification import create_classifier, create_masked_image_model
from eva_clip import build_model
from eva_semseg import create_segmentation_model
from eva_video import create_video_classifier

ROOT = Path(__file__).parents[1]
DETECTOR = ROOT / "projects/ViTDet/configs/common/models/cascade_mask_rcnn_vitdet_eva.py"
GIANT = "eva_giant_patch14"
WIDTH, DEPTH, HEADS, GRID = 16, 40, 2, (16, 16)
SIZES = {1408: WIDTH, 3 * 1408: 3 * WIDTH, 6144: WIDTH * 6144 // 1408}
SMALL = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}


def published_entries() -> list[tuple[str, list[int]]]:
    """Return names and shapes of the entries of `eva_psz14.pt`."""
    content = gzip.decompress((ROOT / "tests/data/manifests/eva_psz14.json.gz").read_bytes())
    return [(name, shape) for name, shape, _ in json.loads(content)["entries"]]


def small_file(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """Write a file of that layout with narrow tokens, nested and in half precision as published.

    Weights are so large that attention is far from uniform and every entry matters.

    Returns:
        Path of the file, and its weights in float32.
    """
    generator, weights = torch.Generator().manual_seed(8), {}
    for name, full in published_entries():
        shape = [SIZES.get(side, side) for side in full]
        base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        scale = 1.5 * torch.Size(shape[1:]).numel() ** -0.5 if len(shape) in (2, 4) else 0.3
        weights[name] = (base + scale * torch.randn(shape, generator=generator)).half()
    torch.save({"model": weights}, folder / "eva_psz14.pt")
    return folder / "eva_psz14.pt", {name: value.float() for name, value in weights.items()}


def detector(size: dict[str, Any] = SMALL, heads: int = 16, **net: Any) -> nn.Module:
    """Build the recipe's detector with small heads of `heads` channels, which do not affect the backbone."""
    model = LazyConfig.load(str(DETECTOR)).model
    model.backbone.net.update(img_size=256, **size, **net)
    model.backbone.square_pad = 256
    model.backbone.out_channels = heads
    model.proposal_generator.head.in_channels = heads
    for head in (*model.roi_heads.box_heads, model.roi_heads.mask_head):
        head.input_shape.channels = heads
        head.conv_dims = [heads, heads]
    return instantiate(model)


def segmentation(size: dict[str, Any] = SMALL, **net: Any) -> nn.Module:
    """Build the published adapter and head, with decoders of one layer each."""
    small_head = {"dim": 32, "num_heads": 4, "hidden": 32, "encoder_layers": 1, "decoder_layers": 1, "num_queries": 3}
    options = {"img_size": 256, "deform_heads": 2, "prior_width": 4, **size, **net}
    return create_segmentation_model("eva_giant_mask2former", num_classes=3, backbone=options, decode_head=small_head)


def clip(size: dict[str, Any] = SMALL) -> nn.Module:
    """Build the published model with a text tower of one block."""
    text = {"width": 16, "num_heads": 2, "num_layers": 1, "vocab_size": 20}
    return build_model("eva_clip_g14", output_dim=8, visual=size, text=text)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "classifier": lambda size=SMALL: create_classifier(GIANT, num_classes=5, **size),
    "pre-training": lambda size=SMALL: create_masked_image_model(GIANT, **size),
    "CLIP": clip,
    "video": lambda size=SMALL: create_video_classifier("eva_giant_patch14_video", num_classes=5, num_frames=2, **size),
    "segmentation": segmentation,
    "detector": detector,
}


def backbone_of(model: nn.Module) -> VisionTransformer:
    """Return the only `VisionTransformer` in `model`, which may be the model itself."""
    (vit,) = (module for module in model.modules() if isinstance(module, VisionTransformer))
    return vit
