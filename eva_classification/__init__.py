"""Image classification and masked image modelling on the EVA backbone; what is listed here needs no Detectron2."""

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
