"""Predict the most likely classes of images and folders of images."""

from .class_names import find_class_names
from .predictor import ClassPredictor
from .result import ClassificationResult
from .task import ClassificationFileTask

__all__ = ["ClassPredictor", "ClassificationFileTask", "ClassificationResult", "find_class_names"]
