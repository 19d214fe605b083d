"""The EVA vision transformer, free of any task and of Detectron2.

From the outside in: `vision_transformer` composes `patch_embed`, `position` and blocks. A `block` is `attention`, in
`windows` or over all tokens, and timm's MLP. Attention takes its bias from `relative_position` (ViTDet) or
`relative_position_bias` (BEiT), and its arithmetic from one of the `attention_kernels`.
"""

from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .presets import PRESETS, create_backbone
    from .vision_transformer import VisionTransformer

__all__ = ["PRESETS", "InputError", "VisionTransformer", "create_backbone"]


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import, and commands tell their options and errors without it.
    if name in ("PRESETS", "create_backbone"):
        from . import presets as module
    elif name == "VisionTransformer":
        from . import vision_transformer as module
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(module, name)
