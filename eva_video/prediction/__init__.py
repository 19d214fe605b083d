"""Predict the most likely classes of video files, and draw filmstrips."""

from .filmstrip import draw_filmstrip
from .predictor import VideoPredictor, VideoViews, find_class_names
from .result import VideoClassificationResult
from .task import VideoFileTask

__all__ = [
    "VideoClassificationResult",
    "VideoFileTask",
    "VideoPredictor",
    "VideoViews",
    "draw_filmstrip",
    "find_class_names",
]
