"""EVA-CLIP on the EVA backbone: images and texts in one embedding space; models import without Detectron2."""

from typing import TYPE_CHECKING

from eva_backbone.deprecation import Deprecated
from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .clip import Clip
    from .image_tower import ImageTower
    from .models import MODELS, build_model, create_clip_model, create_clip_model_and_transforms
    from .text_transformer import TextTransformer
    from .tokenizer import get_tokenizer

__all__ = [
    "MODELS",
    "Clip",
    "ImageTower",
    "TextTransformer",
    "build_model",
    "create_clip_model",
    "create_clip_model_and_transforms",
    "get_tokenizer",
]

DEPRECATED = {
    "create_model": Deprecated("models", "create_clip_model", removed_in="0.4"),
    "create_model_and_transforms": Deprecated("models", "create_clip_model_and_transforms", removed_in="0.4"),
}

__getattr__ = lazy_exports(
    __name__,
    {
        "Clip": "clip",
        "ImageTower": "image_tower",
        "MODELS": "models",
        "build_model": "models",
        "create_clip_model": "models",
        "create_clip_model_and_transforms": "models",
        "TextTransformer": "text_transformer",
        "get_tokenizer": "tokenizer",
    },
    DEPRECATED,
)
