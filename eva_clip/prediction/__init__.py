"""Zero-shot classification of image files by free-text labels, with score files and contact sheets."""

from .contact_sheet import ContactSheets, undrawable_labels
from .predictor import LabelPredictor, LabelScore
from .task import ClipFileTask, read_labels

__all__ = ["ClipFileTask", "ContactSheets", "LabelPredictor", "LabelScore", "read_labels", "undrawable_labels"]
