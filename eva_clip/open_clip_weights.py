"""Names of open_clip's `EVA01-g-14`, and back; values stay as they are."""

import os
from collections.abc import Mapping

from torch import Tensor

from eva_backbone.errors import InputError

from .image_tower import VISUAL

NAME = "EVA01-g-14"
PUBLISHED_DEPTH = 40
# open_clip's model has no options: weights of another size than these cannot be loaded by its name.
_PUBLISHED = {"visual.trunk.pos_embed": (1, 257, 1408), "text.token_embedding.weight": (49408, 768)}
_TRUNK, _SCALE = f"{VISUAL}trunk.", "logit_scale"


def is_open_clip(weights: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of an open_clip model with an image tower from timm."""
    return any(name.startswith(_TRUNK) for name in weights)


def to_open_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an EVA-CLIP model as open_clip loads them.

    Raises:
        InputError: weights of something else.
    """
    if is_open_clip(weights):
        raise InputError("the weights have open_clip's names already; use them as they are.")
    result = {}
    for name, value in weights.items():
        if not name.startswith((VISUAL, "text.")):
            raise InputError(
                f"{name} is no entry of an EVA-CLIP model; give weights whose names begin with visual. and text."
            )
        new = _TRUNK + name.removeprefix(VISUAL) if name.startswith(VISUAL) else name
        result[_SCALE if name == f"text.{_SCALE}" else new] = value
    return result


def from_open_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`to_open_clip`; `logit_bias`, which this model has none of, is refused.

    Raises:
        InputError: weights of something else.
    """
    result = {}
    for name, value in weights.items():
        if name == _SCALE:
            result[f"text.{_SCALE}"] = value
        elif name.startswith(_TRUNK):
            result[VISUAL + name.removeprefix(_TRUNK)] = value
        elif name.startswith("text."):
            result[name] = value
        else:
            raise InputError(
                f"{name} is no entry of open_clip's {NAME}; give weights whose names begin with {_TRUNK} and text."
            )
    return result


def open_clip_call(weights: Mapping[str, Tensor], path: str | os.PathLike) -> str | None:
    """The call that makes open_clip's model for exported `weights`; None unless they have the published size."""
    shapes = {name: tuple(weights[name].shape) for name in _PUBLISHED if name in weights}
    depth = sum(name.endswith(".attn.qkv.weight") for name in weights)
    if shapes != _PUBLISHED or depth != PUBLISHED_DEPTH:
        return None
    return f"open_clip.create_model_and_transforms({NAME!r}, pretrained={os.fspath(path)!r})"
