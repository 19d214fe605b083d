"""Models by name: the published architectures and a small one that trains on a laptop."""

import os
from types import MappingProxyType
from typing import Any

import torch

from eva_backbone import PRESETS
from eva_backbone.errors import InputError

from .adapter import AdapterBackbone
from .head import Mask2FormerHead
from .losses import SetCriterion
from .mask2former import Mask2Former

# name -> (arguments of AdapterBackbone, arguments of Mask2FormerHead)
MODELS: MappingProxyType[str, tuple[MappingProxyType[str, Any], MappingProxyType[str, Any]]] = MappingProxyType(
    {
        # COCO-Stuff-164K and ADE20K
        "eva_giant_mask2former": (
            MappingProxyType({**PRESETS["giant"], "drop_path_rate": 0.5}),
            MappingProxyType({"decoder_layers": 8}),
        ),
        # the variant with relative positions, layer scale and one more layer in the decoder
        "eva_giant_mask2former_rel_pos": (
            MappingProxyType({**PRESETS["giant"], "drop_path_rate": 0.5, "rel_pos": "joint", "layer_scale": 1.0}),
            MappingProxyType({"decoder_layers": 9}),
        ),
        "eva_tiny_mask2former": (
            MappingProxyType({**PRESETS["tiny"], "img_size": 256, "prior_width": 16, "deform_heads": 4}),
            MappingProxyType(
                {
                    "dim": 64,
                    "num_queries": 20,
                    "num_heads": 4,
                    "hidden": 128,
                    "encoder_layers": 2,
                    "decoder_layers": 3,
                    "num_groups": 8,
                }
            ),
        ),
    }
)


def create_segmentation_model(
    name: str,
    weights: str | os.PathLike | None = None,
    *,
    num_classes: int,
    backbone: dict[str, Any] | None = None,
    decode_head: dict[str, Any] | None = None,
    criterion: SetCriterion | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
) -> Mask2Former:
    """Build a segmentation model in evaluation mode, with the weights of a file or random ones.

    Args:
        name: Key of `MODELS`.
        weights: A weight file with published or own names; None for random weights.
        num_classes: Number of classes, K, without the ignored label.
        backbone: Further arguments of `AdapterBackbone`, such as `{"img_size": 640}`.
        decode_head: Further arguments of `Mask2FormerHead`.
        criterion: The losses; by default those of the published models.
        device: Device of the model; None for the one it is built on, normally the CPU.
        dtype: Type of its parameters.
        strict: Raise an error unless the file has exactly the model's parameters; if False, missing ones stay random.

    Raises:
        InputError: An unknown name, or a file that cannot be read or does not fit the model.
    """
    from eva_engine.checkpoint.pretrained import build_pretrained

    if name not in MODELS:
        raise InputError(f"{name!r} is not a model of this package; choose one of {', '.join(MODELS)}.")
    backbone_options, head_options = MODELS[name]

    def build() -> Mask2Former:
        vit = AdapterBackbone(**{**backbone_options, **(backbone or {})})
        head = Mask2FormerHead(num_classes, vit.embed_dim, **{**head_options, **(decode_head or {})})
        return Mask2Former(vit, head, criterion)

    return build_pretrained(build, weights, device=device, dtype=dtype, strict=strict)
