"""Prediction on image and video files: find the inputs, run a task on them, and write the results."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from eva_engine.data.image_file import read_rgb_image

    from .categories import Categories, read_categories
    from .file_run import Summary, predict_files
    from .file_task import FileTask
    from .frame_file_task import FrameFileTask
    from .inputs import Input, InputList, list_inputs

__all__ = [
    "Categories",
    "FileTask",
    "FrameFileTask",
    "Input",
    "InputList",
    "Summary",
    "list_inputs",
    "predict_files",
    "read_categories",
    "read_rgb_image",
]


__getattr__ = lazy_exports(
    __name__,
    {
        "Categories": "categories",
        "FileTask": "file_task",
        "FrameFileTask": "frame_file_task",
        "Input": "inputs",
        "InputList": "inputs",
        "Summary": "file_run",
        "list_inputs": "inputs",
        "predict_files": "file_run",
        "read_categories": "categories",
        "read_rgb_image": ".data.image_file",
    },
)
