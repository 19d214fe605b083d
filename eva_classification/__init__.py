"""Image classification and masked image modelling on the EVA backbone; models import without Detectron2."""

from .classifier import Classifier
from .mim import BlockMasking, MaskedImageModel
from .models import MODELS, create_classifier, create_masked_image_model

__all__ = [
    "MODELS",
    "BlockMasking",
    "Classifier",
    "MaskedImageModel",
    "create_classifier",
    "create_masked_image_model",
]
