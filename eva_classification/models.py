"""Create models by name: the published architectures and a tiny one that trains on a laptop."""

import os
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import nn

from eva_backbone import PRESETS
from eva_backbone.errors import InputError

from .classifier import Classifier
from .mim import MaskedImageModel

MODELS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        # EVA-01: pre-training, ImageNet-21K and ImageNet-1K at every image size
        "eva_giant_patch14": MappingProxyType({**PRESETS["giant"], "patch_size": 14}),
        # EVA-L: a standard ViT-L, whose bias covers query, key and value
        "eva_large_patch14": MappingProxyType({**PRESETS["large"], "patch_size": 14, "qkv_bias": "full"}),
        # EVA-02, at every published image size
        "eva02_tiny_patch14": MappingProxyType({**PRESETS["eva02_tiny"], "patch_size": 14}),
        "eva02_small_patch14": MappingProxyType({**PRESETS["eva02_small"], "patch_size": 14}),
        "eva02_base_patch14": MappingProxyType({**PRESETS["eva02_base"], "patch_size": 14}),
        "eva02_large_patch14": MappingProxyType({**PRESETS["eva02_large"], "patch_size": 14}),
        "eva_tiny_patch14": MappingProxyType({**PRESETS["tiny"], "patch_size": 14}),
    }
)

Model = TypeVar("Model", bound=nn.Module)


def create_classifier(
    name: str,
    weights: str | os.PathLike | None = None,
    *,
    num_classes: int = 1000,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
    **options: Any,
) -> Classifier:
    """Create a classifier in evaluation mode, with weights from a file or random ones.

    Args:
        name: Key of `MODELS`.
        weights: Weight file of a classifier, such as eva_21k_1k_336px_psz14_ema_89p6.pt or a checkpoint of a training
            run. Position embeddings are resized to the model's image size. None for random weights.
        num_classes: Number of classes, the outputs of the head.
        device: Device of the model; None for the one it is built on, normally the CPU.
        dtype: Type of the parameters. A file of the same type is mapped into memory, not copied.
        strict: Refuse a file whose entries are not exactly those of the model; otherwise missing entries stay random.
        options: Further arguments of `Classifier` and of the backbone, such as `img_size=336`.

    Raises:
        InputError: There is no model of that name, or the file is unreadable or belongs to another model.
    """
    arguments = {**_architecture(name), **options}
    return _create(lambda: Classifier(num_classes, **arguments), weights, device, dtype, strict)


def create_masked_image_model(
    name: str,
    weights: str | os.PathLike | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
    **options: Any,
) -> MaskedImageModel:
    """Create a model for masked image modelling in evaluation mode, with weights from a file or random ones.

    Args:
        name: Key of `MODELS`.
        weights: Weight file of a pre-trained model, such as eva_psz14.pt; None for random weights.
        device: Device of the model.
        dtype: Type of the parameters, see `create_classifier`.
        strict: See `create_classifier`.
        options: Further arguments of `MaskedImageModel` and of the backbone, such as `teacher=...`.

    Raises:
        InputError: There is no model of that name, or the file is unreadable or belongs to another model.
    """
    arguments = {**_architecture(name), **options}
    return _create(lambda: MaskedImageModel(**arguments), weights, device, dtype, strict)


def _create(
    build: Callable[[], Model],
    weights: str | os.PathLike | None,
    device: str | torch.device | None,
    dtype: torch.dtype,
    strict: bool,
) -> Model:
    if weights is None:
        return build().to(device=device, dtype=dtype).eval()
    # Imported here because models without weights do not need to read checkpoints.
    from eva_engine.checkpoint.pretrained import build_pretrained

    return build_pretrained(build, weights, device=device, dtype=dtype, strict=strict)


def _architecture(name: str) -> MappingProxyType[str, Any]:
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name]
