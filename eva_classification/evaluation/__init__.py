"""Accuracy on ImageNet and its test sets, and the loss of masked image modelling, for Detectron2's evaluation loop."""

from .answers import AnswerKey, ObjectNetAnswers, RealAnswers
from .classification_evaluator import ClassificationEvaluator
from .masked_image_evaluator import MaskedImageEvaluator

__all__ = ["AnswerKey", "ClassificationEvaluator", "MaskedImageEvaluator", "ObjectNetAnswers", "RealAnswers"]
