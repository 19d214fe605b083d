"""Detections on images and videos: the predictor, drawn results and JSON records."""

from .drawing import draw_instances
from .predictor import Predictor
from .task import Task

__all__ = ["Predictor", "Task", "draw_instances"]
