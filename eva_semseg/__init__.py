"""Semantic segmentation: a ViT with an adapter around its blocks and the Mask2Former head, free of Detectron2."""

from .mask2former import Mask2Former
from .models import MODELS, create_segmentation_model

__all__ = ["MODELS", "Mask2Former", "create_segmentation_model"]
