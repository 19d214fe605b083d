"""Detection on images and videos: the predictor, its results, drawing and JSON records."""

from .drawing import draw_instances
from .predictor import DetectionPredictor
from .result import DetectionResult
from .task import DetectionFileTask

__all__ = ["DetectionFileTask", "DetectionPredictor", "DetectionResult", "draw_instances"]
