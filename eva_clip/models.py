"""Models by name: the released EVA-CLIP and EVA-02-CLIP, and one that is small enough to train on a laptop."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from eva_backbone import PRESETS
from eva_backbone.errors import InputError

from .clip import Clip
from .image_tower import ImageTower
from .text_transformer import TextTransformer
from .transforms import Transform, evaluation_transform, training_transform


def _text(width: int, num_heads: int, num_layers: int, **options: Any) -> MappingProxyType[str, Any]:
    """Return the options of a text tower; 49,408 is the size of CLIP's vocabulary."""
    sizes = {"width": width, "num_heads": num_heads, "num_layers": num_layers}
    return MappingProxyType({"context_length": 77, "vocab_size": 49408, **sizes, **options})


def _model(
    output_dim: int, visual: Mapping[str, Any], text: Mapping[str, Any], *, img_size: int = 224, patch_size: int = 14
) -> MappingProxyType[str, Any]:
    visual = MappingProxyType({**visual, "img_size": img_size, "patch_size": patch_size})
    return MappingProxyType({"output_dim": output_dim, "visual": visual, "text": text})


# Where the released files have the logit scale: all but the first have it outside of the text tower.
_OUTSIDE = {"logit_scale": False}
_BASE = {**PRESETS["eva02_base"], "attention_norm": True}
_LARGE = {**PRESETS["eva02_large"], "attention_norm": True}
_ENORMOUS = PRESETS["eva02_enormous"]
MODELS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        # EVA-CLIP: 1.14 billion parameters, and with a larger text tower 1.37 billion
        "eva_clip_g14": _model(1024, PRESETS["giant"], _text(768, 12, 12)),
        "eva_clip_g14_plus": _model(1024, PRESETS["giant"], _text(1024, 16, 24, **_OUTSIDE)),
        # EVA-02-CLIP: 150 million, 428 million, 4.7 and 5.0 billion parameters
        "eva02_clip_b16": _model(512, _BASE, _text(512, 8, 12, **_OUTSIDE), patch_size=16),
        "eva02_clip_l14": _model(768, _LARGE, _text(768, 12, 12, **_OUTSIDE)),
        "eva02_clip_l14_336": _model(768, _LARGE, _text(768, 12, 12, **_OUTSIDE), img_size=336),
        "eva02_clip_e14": _model(1024, _ENORMOUS, _text(1024, 16, 24, **_OUTSIDE)),
        "eva02_clip_e14_plus": _model(1024, _ENORMOUS, _text(1280, 20, 32, **_OUTSIDE)),
        "eva_clip_tiny": _model(64, PRESETS["tiny"], _text(64, 2, 2, context_length=32), img_size=56),
    }
)


def model_options(name: str) -> Mapping[str, Any]:
    """Return the default options of a model, an entry of `MODELS`.

    Raises:
        InputError: There is no model of that name.
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name]


def build_model(
    name: str,
    *,
    output_dim: int | None = None,
    visual: Mapping[str, Any] | None = None,
    text: Mapping[str, Any] | None = None,
    max_logit_scale: float | None = None,
) -> Clip:
    """Build a model with random weights.

    The initial projection of the image tower is close to zero, which suits a pretrained tower; to train both towers
    from scratch, use `eva_clip.initialization.build_model_from_scratch`.

    Args:
        name: Key of `MODELS`.
        output_dim: Dimension of the joint embedding space; None for that of the named model.
        visual: Arguments of `ImageTower` that replace those of the named model, such as {"img_size": 336}.
        text: Arguments of `TextTransformer` that replace those of the named model.
        max_logit_scale: Upper limit of the logit scale in the loss, see `Clip`.

    Raises:
        InputError: There is no model of that name.
    """
    options = model_options(name)
    if output_dim is None:
        output_dim = options["output_dim"]
    visual_options = {**options["visual"], **(visual or {})}
    text_options = {**options["text"], **(text or {})}
    return Clip(ImageTower(output_dim, **visual_options), TextTransformer(output_dim, **text_options), max_logit_scale)


def create_clip_model(
    name: str,
    weights: str | os.PathLike | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
    **options: Any,
) -> Clip:
    """Create a model in evaluation mode, with weights from a file or random ones.

    Args:
        name: Key of `MODELS`.
        weights: Weight file with the names of the releases, such as eva_clip_psz14.pt or a checkpoint of a training
            run, or with those of open_clip. Position embeddings are resized to the model's image size. None
            for random weights.
        device: Device of the model; None for the one it is built on, normally the CPU.
        dtype: Type of the parameters; float16 and bfloat16 halve the memory. A file of the same type is mapped into
            memory, not copied.
        strict: Refuse a file whose entries are not exactly those of the model; otherwise missing entries stay random.
        options: Options of `build_model`.

    Raises:
        InputError: There is no model of that name, or the file is unreadable or belongs to another model.
    """
    if weights is None:
        return build_model(name, **options).to(device=device, dtype=dtype).eval()
    # Imported here because models without weights need no checkpoint reader.
    from eva_engine.checkpoint.pretrained import build_pretrained

    return build_pretrained(lambda: build_model(name, **options), weights, device=device, dtype=dtype, strict=strict)


def create_clip_model_and_transforms(
    name: str, weights: str | os.PathLike | None = None, **options: Any
) -> tuple[Clip, Transform, Transform]:
    """Create a model with its image transforms, in the order of open_clip's `create_model_and_transforms`.

    Args:
        name: Key of `MODELS`.
        weights: Weight file, see `create_clip_model`.
        options: Further arguments of `create_clip_model`.

    Returns:
        The model, the transform for training and the transform for evaluation.
    """
    model = create_clip_model(name, weights, **options)
    size = model.visual.pos_grid[-1] * model.visual.patch_size
    return model, training_transform(size), evaluation_transform(size)


def create_model(name: str = "eva_clip_g14", weights: str | os.PathLike | None = None, **options: Any) -> Clip:
    """Create a model; deprecated, use `create_clip_model`."""
    return create_clip_model(name, weights, **options)


def create_model_and_transforms(
    name: str = "eva_clip_g14", weights: str | os.PathLike | None = None, **options: Any
) -> tuple[Clip, Transform, Transform]:
    """Create a model with its image transforms; deprecated, use `create_clip_model_and_transforms`."""
    return create_clip_model_and_transforms(name, weights, **options)
