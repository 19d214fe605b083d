"""One self-contained HTML page of a run: results, pictures, curves, facts."""

from .curves import TASK_NAMES, TrainingCurves, read_curves
from .page import write_report
from .pictures import PicturePair, mosaic, picture_pairs, spread_evenly
from .prediction_file import read_predictions
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
