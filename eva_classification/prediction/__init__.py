"""Images and folders in; the most likely classes out."""

from .class_names import find_class_names
from .predictor import ClassPredictor, Guess
from .run import Summary, classify_files

__all__ = ["ClassPredictor", "Guess", "Summary", "classify_files", "find_class_names"]
