"""Zero-shot classification of image files by free-text labels, with score files and contact sheets."""

from .contact_sheet import ContactSheets, undrawable_labels
from .labels import read_labels
from .predictor import LabelPredictor
from .result import TextScoreResult
from .task import ClipFileTask

__all__ = ["ClipFileTask", "ContactSheets", "LabelPredictor", "TextScoreResult", "read_labels", "undrawable_labels"]
