"""Images and folders in; the most likely classes out."""

from .class_names import find_class_names
from .predictor import ClassPredictor, Guess
from .task import Task

__all__ = ["ClassPredictor", "Guess", "Task", "find_class_names"]
