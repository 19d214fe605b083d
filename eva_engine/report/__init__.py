"""The self-contained HTML page of a run: results, images, curves, facts."""

from .curves import TASK_NAMES, TrainingCurves, read_curves
from .image_pairs import ImagePair, mosaic
from .page import write_report
from .run_report import write_run_report

__all__ = [
    "TASK_NAMES",
    "ImagePair",
    "TrainingCurves",
    "mosaic",
    "read_curves",
    "write_report",
    "write_run_report",
]
