"""Models by name: the published architectures and one that a laptop trains."""

from types import MappingProxyType
from typing import Any

from eva_backbone import PRESETS
from eva_backbone.errors import InputError

from .classifier import Classifier
from .mim import MaskedImageModel

MODELS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        # EVA-01: pre-training, ImageNet-21K and ImageNet-1K at every size
        "eva_giant_patch14": MappingProxyType({**PRESETS["giant"], "patch_size": 14}),
        # EVA-L: a plain ViT-L whose query, key and value share one bias
        "eva_large_patch14": MappingProxyType({**PRESETS["large"], "patch_size": 14, "qkv_bias": "full"}),
        "eva_tiny_patch14": MappingProxyType({**PRESETS["tiny"], "patch_size": 14}),
    }
)


def create_classifier(name: str, num_classes: int = 1000, **overrides: Any) -> Classifier:
    """Build a classifier with random weights.

    Args:
        name: key of `MODELS`.
        num_classes: outputs of the head.
        overrides: further arguments of `Classifier` and of the backbone, as in `img_size=336`.

    Raises:
        InputError: no model of that name.
    """
    return Classifier(num_classes, **_options(name, overrides))


def create_masked_image_model(name: str, **overrides: Any) -> MaskedImageModel:
    """Build a pre-training model with random weights; `overrides` are arguments of `MaskedImageModel`.

    Raises:
        InputError: no model of that name.
    """
    return MaskedImageModel(**_options(name, overrides))


def _options(name: str, overrides: dict[str, Any]) -> dict[str, Any]:
    if name not in MODELS:
        raise InputError(f"{name!r} is no model of this package; choose one of {', '.join(MODELS)}.")
    return {**MODELS[name], **overrides}
