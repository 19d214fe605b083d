"""One self-contained HTML page of a detection run: AP tables, pictures, curves, facts."""

from .curves import TASK_NAMES, TrainingCurves, read_curves
from .page import write_report
from .pictures import PicturePair, mosaic, picture_pairs

__all__ = ["TASK_NAMES", "PicturePair", "TrainingCurves", "mosaic", "picture_pairs", "read_curves", "write_report"]
