"""Semantic segmentation without Detectron2: a ViT with an adapter and Mask2Former's head, or with UperNet's."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .mask2former import Mask2Former
    from .models import MODELS, create_segmentation_model
    from .upernet import UperNet

__all__ = [
    "MODELS",
    "Mask2Former",
    "UperNet",
    "create_segmentation_model",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "Mask2Former": "mask2former",
        "MODELS": "models",
        "create_segmentation_model": "models",
        "UperNet": "upernet",
    },
)
