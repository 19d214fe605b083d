"""Images and labels in; how well they fit, and a contact sheet, out."""

from .contact_sheet import ContactSheets, undrawable_labels
from .labels import read_labels
from .model_source import load_model
from .predictor import LabelPredictor, Match
from .run import Summary, score_files

__all__ = [
    "ContactSheets",
    "LabelPredictor",
    "Match",
    "Summary",
    "load_model",
    "read_labels",
    "score_files",
    "undrawable_labels",
]
