"""The EVA vision transformer, independent of any task and of Detectron2.

`vision_transformer` composes `patch_embed`, `position` and blocks. A `block` is windowed or global `attention` and
timm's MLP. Attention takes its bias from `relative_position` (ViTDet) or `relative_position_bias` (BEiT), and computes
with one of the `attention_kernels`. `presets` has the published sizes.
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
