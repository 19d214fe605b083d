"""Image classification and masked image modelling on the EVA backbone; models import without Detectron2."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .classifier import Classifier
    from .mim import BlockMasking, MaskedImageModel
    from .models import MODELS, create_classifier, create_masked_image_model
    from .transforms import evaluation_transform

__all__ = [
    "MODELS",
    "BlockMasking",
    "Classifier",
    "MaskedImageModel",
    "create_classifier",
    "create_masked_image_model",
    "evaluation_transform",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "Classifier": "classifier",
        "BlockMasking": "mim",
        "MaskedImageModel": "mim",
        "MODELS": "models",
        "create_classifier": "models",
        "create_masked_image_model": "models",
        "evaluation_transform": "transforms",
    },
)
