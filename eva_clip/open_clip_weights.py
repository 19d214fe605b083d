"""Conversion of weights between the names of this package and those of open_clip's EVA models.

Only names differ; values and shapes are the same. open_clip's image towers are those of timm.
"""

import os
from collections.abc import Mapping

from torch import Tensor

from eva_backbone.errors import InputError
from eva_backbone.timm_names import from_timm_names, to_timm_names

from .image_tower import VISUAL

_TRUNK, _LOGIT_SCALE = f"{VISUAL}trunk.", "logit_scale"
_FIRST_RELEASE = "EVA01-g-14"
# open_clip's models have no options: each loads weights of its own size only. The sizes are the number of positions
# and the width of the image tower, its depth, the width of the text tower and its depth.
_SIZES = {
    (257, 1408, 40, 768, 12): _FIRST_RELEASE,
    (257, 1408, 40, 1024, 24): "EVA01-g-14-plus",
    (197, 768, 12, 512, 12): "EVA02-B-16",
    (257, 1024, 24, 768, 12): "EVA02-L-14",
    (577, 1024, 24, 768, 12): "EVA02-L-14-336",
    (257, 1792, 64, 1024, 24): "EVA02-E-14",
    (257, 1792, 64, 1280, 32): "EVA02-E-14-plus",
}


def is_open_clip(weights: Mapping[str, Tensor]) -> bool:
    """Return whether the names are those of an open_clip model with an image tower from timm."""
    return any(name.startswith(_TRUNK) for name in weights)


def to_open_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of an EVA-CLIP state dict to open_clip's names.

    Raises:
        InputError: The names already are open_clip's, or an entry does not belong to an EVA-CLIP model.
    """
    if is_open_clip(weights):
        raise InputError("the weights have open_clip's names already; use them as they are.")
    renamed = {}
    for name, value in to_timm_names(weights).items():
        if name in (_LOGIT_SCALE, f"text.{_LOGIT_SCALE}"):
            renamed[_LOGIT_SCALE] = value
        elif name.startswith(VISUAL):
            renamed[_TRUNK + name.removeprefix(VISUAL)] = value
        elif name.startswith("text."):
            renamed[name] = value
        else:
            raise InputError(
                f"{name} does not belong to an EVA-CLIP model; give weights whose names begin with visual. and text."
            )
    return renamed


def from_open_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of an open_clip state dict to the names of `Clip`, the inverse of :func:`to_open_clip`.

    The logit scale of the first released model, EVA01-g-14, becomes part of the text tower, as in its file. `Clip`
    loads it under either name.

    Raises:
        InputError: An entry does not belong to an EVA-CLIP model, such as `logit_bias`, which `Clip` does not have.
    """
    is_first = open_clip_name(weights) == _FIRST_RELEASE
    renamed = {}
    for name, value in weights.items():
        if name == _LOGIT_SCALE:
            renamed[f"text.{_LOGIT_SCALE}" if is_first else _LOGIT_SCALE] = value
        elif name.startswith(_TRUNK):
            renamed[VISUAL + name.removeprefix(_TRUNK)] = value
        elif name.startswith("text."):
            renamed[name] = value
        else:
            raise InputError(
                f"{name} does not belong to an EVA-CLIP of open_clip; give weights whose names begin with {_TRUNK} and "
                "text."
            )
    return from_timm_names(renamed)


def open_clip_name(weights: Mapping[str, Tensor]) -> str | None:
    """Return open_clip's name of the model whose weights have these shapes; None if it is not a released one.

    Args:
        weights: State dict with open_clip's names.
    """
    positions, texts = weights.get(f"{_TRUNK}pos_embed"), weights.get("text.positional_embedding")
    if positions is None or texts is None or positions.ndim != 3 or texts.ndim != 2:
        return None
    depths = []
    for layer in (f"{_TRUNK}blocks.{{}}.norm1.weight", "text.transformer.resblocks.{}.ln_1.weight"):
        depth = 0
        while layer.format(depth) in weights:
            depth += 1
        depths.append(depth)
    return _SIZES.get((*positions.shape[1:], depths[0], texts.shape[1], depths[1]))


def open_clip_call(weights: Mapping[str, Tensor], path: str | os.PathLike) -> str | None:
    """Return the Python call that loads exported weights into open_clip's model.

    Args:
        weights: State dict with open_clip's names.
        path: File of the weights, as it should appear in the call.

    Returns:
        The call; None if the weights do not have the size of a released model, which open_clip's names stand for.
    """
    name = open_clip_name(weights)
    if name is None:
        return None
    return f"open_clip.create_model_and_transforms({name!r}, pretrained={os.fspath(path)!r})"
