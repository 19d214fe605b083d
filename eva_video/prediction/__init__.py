"""Videos in; the most likely classes and filmstrips out."""

from .class_names import find_class_names
from .filmstrip import draw_filmstrip
from .predictor import VideoPredictor, VideoViews
from .task import Task

__all__ = ["Task", "VideoPredictor", "VideoViews", "draw_filmstrip", "find_class_names"]
