"""Images and labels in; how well they fit, and a contact sheet, out."""

from .contact_sheet import ContactSheets, undrawable_labels
from .labels import read_labels
from .model_source import load_model
from .predictor import LabelPredictor, Match
from .task import Task

__all__ = [
    "ContactSheets",
    "LabelPredictor",
    "Match",
    "Task",
    "load_model",
    "read_labels",
    "undrawable_labels",
]
