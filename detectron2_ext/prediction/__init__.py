"""Detection on images and videos: the predictor, drawing and JSON records."""

from .drawing import draw_instances
from .predictor import DetectionPredictor
from .task import DetectionFileTask

__all__ = ["DetectionFileTask", "DetectionPredictor", "draw_instances"]
