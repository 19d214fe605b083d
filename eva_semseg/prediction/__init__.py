"""Pictures in; maps of class numbers, drawn with a legend, out."""

from .class_names import find_class_names
from .drawing import add_legend, class_shares, draw_labels
from .predictor import SegmentationPredictor
from .task import Task

__all__ = [
    "SegmentationPredictor",
    "Task",
    "add_legend",
    "class_shares",
    "draw_labels",
    "find_class_names",
]
