"""The EVA vision transformer, free of any task and of Detectron2.

From the outside in: `vision_transformer` composes `patch_embed`, `position` and blocks. A `block` is `attention`, in
`windows` or over all tokens, and timm's MLP. Attention takes its bias from `relative_position` (ViTDet) or
`relative_position_bias` (BEiT), and its arithmetic from one of the `attention_kernels`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .presets import PRESETS, create_backbone
    from .vision_transformer import VisionTransformer

__all__ = ["PRESETS", "InputError", "VisionTransformer", "create_backbone"]


# PyTorch takes seconds to import, and commands tell their options and errors without it.
_MODULES = {"PRESETS": "presets", "create_backbone": "presets", "VisionTransformer": "vision_transformer"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
