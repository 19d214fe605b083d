"""Prediction on image and video files: reading inputs, running a task on them, writing results."""

from .categories import Categories, read_categories
from .file_task import FileTask
from .find_task import find_task
from .images import read_image
from .inputs import Input, InputList, list_inputs
from .predict_files import Summary, predict_files

__all__ = [
    "Categories",
    "FileTask",
    "Input",
    "InputList",
    "Summary",
    "find_task",
    "list_inputs",
    "predict_files",
    "read_categories",
    "read_image",
]
