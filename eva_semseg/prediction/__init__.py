"""Pictures in; maps of class numbers, drawn with a legend, out."""

from .class_names import find_class_names
from .drawing import add_legend, class_shares, draw_labels
from .predictor import SegmentationPredictor
from .run import Summary, segment_files

__all__ = [
    "SegmentationPredictor",
    "Summary",
    "add_legend",
    "class_shares",
    "draw_labels",
    "find_class_names",
    "segment_files",
]
