"""Accuracy on ImageNet and its test sets, and the loss of masked image modelling, for Detectron2's evaluation loop."""

from .classification_evaluator import ClassificationEvaluator
from .label_rules import AnswerKey, ObjectNetAnswers, RealAnswers
from .masked_image_evaluator import MaskedImageEvaluator

__all__ = ["AnswerKey", "ClassificationEvaluator", "MaskedImageEvaluator", "ObjectNetAnswers", "RealAnswers"]
