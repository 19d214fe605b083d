"""Factors by which soft-NMS lowers the scores of overlapping boxes."""

from dataclasses import dataclass

import numpy as np

from eva_backbone.errors import InputError

METHODS = ("naive", "linear", "gaussian")

# Rows of the table of all pairs that are computed at once; the temporary arrays of a strip then fit in the CPU cache.
_STRIP_ROWS = 64


@dataclass(frozen=True)
class DecayRule:
    """Score factor as a function of IoU.

    Args:
        method: "naive": 0 from `iou_threshold` on, which is hard NMS. "linear": 1 - IoU from `iou_threshold` on.
            "gaussian": exp(-IoU^2 / sigma) for every IoU.
        iou_threshold: IoU from which "naive" and "linear" act; not used by "gaussian".
        sigma: Width of "gaussian"; not used by the others.

    Raises:
        InputError: The method is unknown, or `sigma` is not positive although the method is "gaussian".
    """

    method: str
    iou_threshold: float
    sigma: float

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"unknown soft-NMS method {self.method!r}; choose one of {', '.join(METHODS)}")
        if self.method == "gaussian" and not self.sigma > 0:
            raise InputError(f"gaussian soft-NMS got sigma={self.sigma}; give a sigma above 0")

    def factor(self, iou: np.ndarray) -> np.ndarray:
        """Return the float32 factors [...] for boxes that overlap the emitted box by `iou` [...], in 0..1."""
        # float32 constants keep every operation and the result in float32.
        if self.method == "gaussian":
            return np.exp(-(iou * iou) / np.float32(self.sigma))
        decayed = np.float32(0) if self.method == "naive" else 1 - iou
        return np.where(iou >= np.float32(self.iou_threshold), decayed, np.float32(1))


class SharedBoxFactors:
    """Factors for classes that choose from the same U boxes, as after class-agnostic box regression.

    The factors of all pairs are computed once, because the same pairs occur in many classes.

    Args:
        rule: Factor as a function of IoU.
        boxes: float32 corners [U, 4].
    """

    def __init__(self, rule: DecayRule, boxes: np.ndarray) -> None:
        corners = np.ascontiguousarray(boxes.T)
        areas = box_areas(corners)
        self.table = np.empty((len(boxes), len(boxes)), np.float32)
        for start in range(0, len(boxes), _STRIP_ROWS):
            strip = slice(start, start + _STRIP_ROWS)
            self.table[strip] = rule.factor(pairwise_iou(corners[:, strip, None], corners[:, None], areas))
        self._factors = np.empty((0, len(boxes)), np.float32)

    def decay(self, scores: np.ndarray, emitted: np.ndarray) -> None:
        """Lower `scores` [C, U] in place, given the column `emitted` [C] of the emitted box of each class."""
        if len(self._factors) != len(scores):
            self._factors = np.empty_like(scores)
        # mode="clip" only avoids the buffered copy that the default mode makes; all columns are valid.
        np.take(self.table, emitted, axis=0, out=self._factors, mode="clip")
        np.multiply(scores, self._factors, out=scores)

    def keep_classes(self, mask: np.ndarray) -> None:
        """Do nothing: the table does not depend on the classes."""


class PerClassBoxFactors:
    """Factors for classes that have different boxes, computed when they are needed.

    Args:
        rule: Factor as a function of IoU.
        boxes: float32 corners [C, n, 4].
    """

    def __init__(self, rule: DecayRule, boxes: np.ndarray) -> None:
        self.rule = rule
        self.corners = np.ascontiguousarray(boxes.transpose(2, 0, 1))  # [4, C, n]
        self.areas = box_areas(self.corners)

    def decay(self, scores: np.ndarray, emitted: np.ndarray) -> None:
        """Lower `scores` [C, n] in place, given the column `emitted` [C] of the emitted box of each class."""
        emitted_corners = self.corners[:, np.arange(len(emitted)), emitted]
        factors = self.rule.factor(pairwise_iou(emitted_corners[..., None], self.corners, self.areas))
        np.multiply(scores, factors, out=scores)

    def keep_classes(self, mask: np.ndarray) -> None:
        """Keep only the classes of the bool `mask` [C]."""
        self.corners = np.ascontiguousarray(self.corners[:, mask])
        self.areas = self.areas[mask]

    def keep_columns(self, columns: np.ndarray) -> None:
        """Keep only the boxes at `columns` [C, m] of each class."""
        self.corners = np.take_along_axis(self.corners, columns[None], axis=2)
        self.areas = np.take_along_axis(self.areas, columns, axis=1)


def pairwise_iou(a: np.ndarray, b: np.ndarray, area_b: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes with broadcastable corners [4, ...] and [4, ...]; 0 where both areas are 0.

    Operations are in place where possible, to avoid temporary arrays.
    """
    width = np.minimum(a[2], b[2])
    width -= np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3])
    height -= np.maximum(a[1], b[1])
    intersection = np.maximum(width, 0, out=width)
    intersection *= np.maximum(height, 0, out=height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + area_b
    union -= intersection
    # Two boxes without area have intersection 0 and union 0; the smallest normal number makes their IoU 0, not NaN.
    np.maximum(union, np.finfo(np.float32).tiny, out=union)
    return np.divide(intersection, union, out=intersection)


def box_areas(corners: np.ndarray) -> np.ndarray:
    """Return the areas [...] of boxes with corners [4, ...]."""
    return (corners[2] - corners[0]) * (corners[3] - corners[1])
