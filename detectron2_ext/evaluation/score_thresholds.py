"""Precision and recall of a detector that keeps only detections above a score, and the score with the best F1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

THRESHOLDS = np.arange(101) / 100
DEFAULT = 50  # index of 0.5, the default of `predict`


@dataclass(frozen=True)
class ThresholdCounts:
    """Counts of right and wrong detections at IoU 0.5 for each threshold of `THRESHOLDS`.

    A detection keeps its match whatever the threshold is, because detections are matched from the highest score on.

    Attributes:
        right: Detections with at least the score that have a match, [K, 101].
        wrong: Those without a match, except where the metrics ignore them, [K, 101].
        objects: Objects of each class, without ignored ones, [K].
    """

    right: np.ndarray
    wrong: np.ndarray
    objects: np.ndarray

    def precision(self) -> np.ndarray:
        """Return the precision of each class, [K, 101]; NaN without detections."""
        return _divide(self.right, self.right + self.wrong)

    def recall(self) -> np.ndarray:
        """Return the recall of each class, [K, 101]; NaN without objects."""
        return _divide(self.right, self.objects[:, None])

    def f1(self) -> np.ndarray:
        """Return the harmonic mean of precision and recall of each class, [K, 101]; NaN without objects."""
        f1 = _divide(2 * self.right, self.right + self.wrong + self.objects[:, None])
        f1[self.objects == 0] = np.nan
        return f1

    def mean_f1(self) -> np.ndarray:
        """Return the mean of F1 over the classes that have objects, [101]; 0 without objects."""
        with_objects = self.objects > 0
        if with_objects.any():
            return self.f1()[with_objects].mean(0)
        return np.zeros(len(THRESHOLDS))

    def pooled(self) -> "ThresholdCounts":
        """Return the counts of all classes together, [1, 101]."""
        return ThresholdCounts(
            self.right.sum(0, keepdims=True), self.wrong.sum(0, keepdims=True), self.objects.sum(keepdims=True)
        )

    def best(self) -> int | None:
        """Return the index of the threshold with the best mean F1, None if it is 0 everywhere."""
        f1 = self.mean_f1()
        return int(f1.argmax()) if f1.max() > 0 else None


def count_by_threshold(
    scores: np.ndarray, classes: np.ndarray, is_right: np.ndarray, objects: np.ndarray
) -> ThresholdCounts:
    """Count detections by class and threshold.

    Args:
        scores: Scores in 0..1 of the detections that count, [N].
        classes: Class indices, [N].
        is_right: Whether a detection has a match, bool [N].
        objects: Number of objects of each class, [K].
    """
    counts = np.zeros((2, len(objects), len(THRESHOLDS)), np.int64)
    # The highest threshold that the score reaches; it also reaches all lower ones, hence the sum from the right.
    reached = np.clip(np.searchsorted(THRESHOLDS, scores, side="right") - 1, 0, None)
    np.add.at(counts, (is_right.astype(int), classes, reached), 1)
    wrong, right = counts[:, :, ::-1].cumsum(2)[:, :, ::-1]
    return ThresholdCounts(right, wrong, objects)


def threshold_record(counts: ThresholdCounts, names: Sequence[str]) -> dict[str, Any]:
    """Return the content of score_threshold.json.

    Precision and recall are over all objects; "mean_f1" is the mean over classes. "score_threshold" is None for a model
    without any right detection.
    """
    best = counts.best()
    record: dict[str, Any] = {
        "score_threshold": None if best is None else float(THRESHOLDS[best]),
        "chosen_by": "best mean F1 of the classes, at IoU 0.5",
        "at_score_threshold": None if best is None else _figures(counts, best),
        "at_0.5": _figures(counts, DEFAULT),
    }
    precision, recall, f1 = counts.precision(), counts.recall(), counts.f1()
    classes: dict[str, Mapping[str, float | None]] = {}
    for index, name in enumerate(names):
        if counts.objects[index] and f1[index].max() > 0:
            own = int(f1[index].argmax())
            classes[name] = {
                "score_threshold": float(THRESHOLDS[own]),
                "precision": float(precision[index, own]),
                "recall": float(recall[index, own]),
                "f1": float(f1[index, own]),
            }
    return record | {"classes": classes}


def _figures(counts: ThresholdCounts, index: int) -> dict[str, float | None]:
    pooled = counts.pooled()
    figures = {
        "precision": pooled.precision()[0, index],
        "recall": pooled.recall()[0, index],
        "f1": pooled.f1()[0, index],
        "mean_f1": counts.mean_f1()[index],
    }
    return {name: float(value) if np.isfinite(value) else None for name, value in figures.items()}


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    quotient = np.full(shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.broadcast_to(denominator > 0, shape))
    return quotient
