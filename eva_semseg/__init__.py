"""Semantic segmentation: a ViT with an adapter around its blocks and a Mask2Former head, without Detectron2."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .mask2former import Mask2Former
    from .models import MODELS, create_segmentation_model

__all__ = [
    "MODELS",
    "Mask2Former",
    "create_segmentation_model",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "Mask2Former": "mask2former",
        "MODELS": "models",
        "create_segmentation_model": "models",
    },
)
