"""Models by name: the published architectures and small ones that train on a laptop."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from eva_backbone import PRESETS
from eva_backbone.errors import InputError

from .adapter import AdapterBackbone
from .fpn_backbone import FpnBackbone
from .head import Mask2FormerHead
from .losses import SetCriterion
from .mask2former import Mask2Former
from .segmenter import Segmenter
from .uper_head import FCNHead, UPerHead
from .upernet import UperNet


class Mask2FormerOptions(NamedTuple):
    """Arguments of `AdapterBackbone` and of `Mask2FormerHead`."""

    backbone: Mapping[str, Any]
    decode_head: Mapping[str, Any]


class UperNetOptions(NamedTuple):
    """Arguments of `FpnBackbone`, of `UPerHead` and of `FCNHead`."""

    backbone: Mapping[str, Any]
    decode_head: Mapping[str, Any]
    auxiliary_head: Mapping[str, Any]


_EVA02_BASE = {**PRESETS["eva02_base"], "drop_path_rate": 0.15, "out_indices": (3, 5, 7, 11)}
_EVA02_LARGE = {**PRESETS["eva02_large"], "drop_path_rate": 0.2, "out_indices": (7, 11, 15, 23)}
_EVA02_TINY = {**PRESETS["eva02_base"], "embed_dim": 128, "depth": 4, "num_heads": 4}  # the same kinds of layers

MODELS: MappingProxyType[str, Mask2FormerOptions | UperNetOptions] = MappingProxyType(
    {
        # COCO-Stuff-164K and ADE20K
        "eva_giant_mask2former": Mask2FormerOptions(
            {**PRESETS["giant"], "drop_path_rate": 0.5},
            {"decoder_layers": 8},
        ),
        # the variant with relative positions, layer scale and one more layer in the decoder
        "eva_giant_mask2former_rel_pos": Mask2FormerOptions(
            {**PRESETS["giant"], "drop_path_rate": 0.5, "rel_pos": "joint", "layer_scale": 1.0},
            {"decoder_layers": 9},
        ),
        # ADE20K; "wide" is the model of 640 pixels
        "eva02_base_upernet": UperNetOptions({**_EVA02_BASE, "img_size": 512}, {"channels": 768}, {"channels": 256}),
        "eva02_large_upernet": UperNetOptions({**_EVA02_LARGE, "img_size": 512}, {"channels": 1024}, {"channels": 256}),
        "eva02_large_upernet_wide": UperNetOptions(
            {**_EVA02_LARGE, "img_size": 640}, {"channels": 1536}, {"channels": 1536}
        ),
        "eva_tiny_mask2former": Mask2FormerOptions(
            {**PRESETS["tiny"], "img_size": 256, "prior_width": 16, "deform_heads": 4},
            {
                "dim": 64,
                "num_queries": 20,
                "num_heads": 4,
                "hidden": 128,
                "encoder_layers": 2,
                "decoder_layers": 3,
                "num_groups": 8,
            },
        ),
        "eva02_tiny_upernet": UperNetOptions(
            {**_EVA02_TINY, "img_size": 256, "out_indices": (0, 1, 2, 3)},
            {"channels": 64},
            {"channels": 32},
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
    auxiliary_head: dict[str, Any] | None = None,
    criterion: SetCriterion | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
) -> Segmenter:
    """Build a segmentation model in evaluation mode, with the weights of a file or random ones.

    Args:
        name: Key of `MODELS`.
        weights: A weight file with published or own names; None for random weights.
        num_classes: Number of classes, K, without the ignored label.
        backbone: Further arguments of the backbone, such as `{"img_size": 640}`: of `AdapterBackbone` for Mask2Former,
            of `FpnBackbone` for UperNet.
        decode_head: Further arguments of `Mask2FormerHead` or `UPerHead`.
        auxiliary_head: Further arguments of `FCNHead`; UperNet only.
        criterion: The losses of Mask2Former; by default those of the published models.
        device: Device of the model; None for the one it is built on, normally the CPU.
        dtype: Type of its parameters.
        strict: Raise an error unless the file has exactly the model's parameters; if False, missing ones stay random.

    Raises:
        InputError: An unknown name, or a file that cannot be read or does not fit the model.
    """
    from eva_engine.checkpoint.pretrained import build_pretrained

    if name not in MODELS:
        raise InputError(f"{name!r} is not a model of this package; choose one of {', '.join(MODELS)}.")
    options = MODELS[name]
    if isinstance(options, UperNetOptions) and criterion is not None:
        raise InputError(f"criterion is for Mask2Former's losses, and {name} has others; leave it out.")
    if isinstance(options, Mask2FormerOptions) and auxiliary_head is not None:
        raise InputError(f"auxiliary_head is for UperNet, and {name} has none; leave it out.")

    def build() -> Segmenter:
        vit_options = {**options.backbone, **(backbone or {})}
        head_options = {**options.decode_head, **(decode_head or {})}
        if isinstance(options, Mask2FormerOptions):
            adapter = AdapterBackbone(**vit_options)
            return Mask2Former(adapter, Mask2FormerHead(num_classes, adapter.embed_dim, **head_options), criterion)
        pyramid = FpnBackbone(**vit_options)
        auxiliary_options = {**options.auxiliary_head, **(auxiliary_head or {})}
        return UperNet(
            pyramid,
            UPerHead(num_classes, pyramid.embed_dim, **head_options),
            FCNHead(num_classes, pyramid.embed_dim, **auxiliary_options),
        )

    return build_pretrained(build, weights, device=device, dtype=dtype, strict=strict)
