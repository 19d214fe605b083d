"""The HTML page of a run, in one self-contained file: results, images, curves, facts."""

from .curves import TASK_NAMES, TrainingCurves, read_curves
from .image_pairs import ImagePair, image_grid
from .page import write_report
from .run_report import write_run_report
from .sections import Chart, ImageFigure, ImageGrid, Line, Matrix, Section, Table, encode_image, pairs_grid

__all__ = [
    "TASK_NAMES",
    "Chart",
    "ImageFigure",
    "ImageGrid",
    "ImagePair",
    "Line",
    "Matrix",
    "Section",
    "Table",
    "TrainingCurves",
    "encode_image",
    "image_grid",
    "pairs_grid",
    "read_curves",
    "write_report",
    "write_run_report",
]
