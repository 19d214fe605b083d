"""Images and folders in; the most likely classes out."""

from .class_names import find_class_names
from .predictor import ClassPrediction, ClassPredictor
from .task import Task

__all__ = ["ClassPrediction", "ClassPredictor", "Task", "find_class_names"]
