"""Accuracy on ImageNet and its test sets, and the loss of masked image modelling, as Detectron2 evaluators."""

from .classification_evaluator import ClassificationEvaluator
from .label_mapping import LabelMapping, ObjectNetLabels, RealLabels
from .masked_image_evaluator import MaskedImageEvaluator

__all__ = ["ClassificationEvaluator", "LabelMapping", "MaskedImageEvaluator", "ObjectNetLabels", "RealLabels"]
