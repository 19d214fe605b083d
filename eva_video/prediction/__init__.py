"""Videos in; the most likely classes and filmstrips out."""

from .class_names import find_class_names
from .filmstrip import draw_filmstrip
from .predictor import VideoPredictor, VideoViews
from .run import Summary, classify_videos

__all__ = ["Summary", "VideoPredictor", "VideoViews", "classify_videos", "draw_filmstrip", "find_class_names"]
