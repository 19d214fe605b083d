"""One self-contained HTML page of a run: results, pictures, curves, facts."""

from .curves import TASK_NAMES, TrainingCurves, read_curves
from .detection_pictures import picture_pairs, read_predictions, spread_evenly
from .page import write_report
from .pictures import PicturePair, mosaic
from .run_report import write_run_report

__all__ = [
    "TASK_NAMES",
    "PicturePair",
    "TrainingCurves",
    "mosaic",
    "picture_pairs",
    "read_curves",
    "read_predictions",
    "spread_evenly",
    "write_report",
    "write_run_report",
]
