"""Conversion of weights between the names of this package and those of open_clip's `EVA01-g-14`.

Only names differ; values and shapes are the same.
"""

import os
from collections.abc import Mapping

from torch import Tensor

from eva_backbone.errors import InputError

from .image_tower import VISUAL

NAME = "EVA01-g-14"
RELEASED_DEPTH = 40
# open_clip's model of this name has no options: it cannot load weights of any other size.
_RELEASED_SHAPES = {"visual.trunk.pos_embed": (1, 257, 1408), "text.token_embedding.weight": (49408, 768)}
_TRUNK, _LOGIT_SCALE = f"{VISUAL}trunk.", "logit_scale"


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
    for name, value in weights.items():
        if name == f"text.{_LOGIT_SCALE}":
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

    Raises:
        InputError: An entry does not belong to `EVA01-g-14`, such as `logit_bias`, which `Clip` does not have.
    """
    renamed = {}
    for name, value in weights.items():
        if name == _LOGIT_SCALE:
            renamed[f"text.{_LOGIT_SCALE}"] = value
        elif name.startswith(_TRUNK):
            renamed[VISUAL + name.removeprefix(_TRUNK)] = value
        elif name.startswith("text."):
            renamed[name] = value
        else:
            raise InputError(
                f"{name} does not belong to open_clip's {NAME}; give weights whose names begin with {_TRUNK} and text."
            )
    return renamed


def open_clip_call(weights: Mapping[str, Tensor], path: str | os.PathLike) -> str | None:
    """Return the Python call that loads exported weights into open_clip's model.

    Args:
        weights: State dict with open_clip's names.
        path: File of the weights, as it should appear in the call.

    Returns:
        The call; None if the weights do not have the size of the released model, which open_clip's name stands for.
    """
    shapes = {name: tuple(weights[name].shape) for name in _RELEASED_SHAPES if name in weights}
    depth = sum(name.endswith(".attn.qkv.weight") for name in weights)
    if shapes != _RELEASED_SHAPES or depth != RELEASED_DEPTH:
        return None
    return f"open_clip.create_model_and_transforms({NAME!r}, pretrained={os.fspath(path)!r})"
