"""Images, folders and videos in; detections, pictures and JSON out."""

from .categories import Categories, read_categories
from .drawing import draw_instances
from .file_task import FileTask
from .find_task import find_task
from .images import read_image
from .inputs import Input, InputList, list_inputs
from .predictor import Predictor
from .run import Summary, predict_files
from .task import Task

__all__ = [
    "Categories",
    "FileTask",
    "Input",
    "InputList",
    "Predictor",
    "Summary",
    "Task",
    "draw_instances",
    "find_task",
    "list_inputs",
    "predict_files",
    "read_categories",
    "read_image",
]
