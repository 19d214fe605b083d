"""The EVA vision transformer, free of any task and of Detectron2."""

from .errors import InputError
from .presets import PRESETS, create_backbone
from .vision_transformer import VisionTransformer

__all__ = ["PRESETS", "InputError", "VisionTransformer", "create_backbone"]
