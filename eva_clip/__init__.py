"""EVA-CLIP on the EVA backbone: images and texts in one space; models import without Detectron2."""

from typing import Any

from .clip import Clip
from .image_tower import ImageTower
from .models import MODELS, build_model, create_model, create_model_and_transforms
from .text_transformer import TextTransformer

__all__ = [
    "MODELS",
    "Clip",
    "ImageTower",
    "TextTransformer",
    "build_model",
    "create_model",
    "create_model_and_transforms",
    "get_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name == "get_tokenizer":  # open_clip is slow to import, and images do without it
        from .tokenizer import get_tokenizer

        return get_tokenizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
