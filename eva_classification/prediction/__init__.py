"""Predict the most likely classes of images and folders of images."""

from .class_names import find_class_names
from .predictor import ClassPrediction, ClassPredictor
from .task import ClassificationFileTask

__all__ = ["ClassPrediction", "ClassPredictor", "ClassificationFileTask", "find_class_names"]
