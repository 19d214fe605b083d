"""Monitoring of a run: progress lines, metrics.json, TensorBoard, trackers, and the best evaluation."""

from .best_metric import BestMetric, check_best_metric
from .metrics_file import MetricsFile, read_evaluations
from .progress import ProgressLine
from .scalars import NewScalars
from .writers import TensorBoardEvents, build_writers, check_writers

__all__ = [
    "BestMetric",
    "MetricsFile",
    "NewScalars",
    "ProgressLine",
    "TensorBoardEvents",
    "build_writers",
    "check_best_metric",
    "check_writers",
    "read_evaluations",
]
