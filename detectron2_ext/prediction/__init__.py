"""Images, folders and videos in; detections, pictures and JSON out."""

from .categories import Categories, read_categories
from .drawing import draw_instances
from .images import read_image
from .inputs import Input, InputList, list_inputs
from .predictor import Predictor
from .run import Summary, predict_files

__all__ = [
    "Categories",
    "Input",
    "InputList",
    "Predictor",
    "Summary",
    "draw_instances",
    "list_inputs",
    "predict_files",
    "read_categories",
    "read_image",
]
