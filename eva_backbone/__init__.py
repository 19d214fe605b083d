"""The EVA vision transformer, free of any task and of Detectron2.

From the outside in: `vision_transformer` composes `patch_embed`, `position` and blocks. A `block` is `attention`, in
`windows` or over all tokens, and timm's MLP. Attention takes its bias from `relative_position` (ViTDet) or
`relative_position_bias` (BEiT), and its arithmetic from one of the `attention_kernels`.
"""

from typing import TYPE_CHECKING

from .errors import InputError
from .lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .presets import PRESETS, create_backbone
    from .vision_transformer import VisionTransformer

__all__ = ["PRESETS", "InputError", "VisionTransformer", "create_backbone"]


__getattr__ = lazy_exports(
    __name__, {"PRESETS": "presets", "create_backbone": "presets", "VisionTransformer": "vision_transformer"}
)
