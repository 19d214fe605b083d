"""Segment images and draw the predicted label maps with a legend."""

from .drawing import add_legend, class_fractions, draw_labels
from .predictor import SegmentationPredictor, find_class_names
from .result import LabelMapResult
from .task import SegmentationFileTask

__all__ = [
    "LabelMapResult",
    "SegmentationFileTask",
    "SegmentationPredictor",
    "add_legend",
    "class_fractions",
    "draw_labels",
    "find_class_names",
]
