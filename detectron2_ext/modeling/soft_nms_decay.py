"""How much score a box loses to an emitted box, for many classes at a time (the arithmetic inside soft-NMS)."""

from dataclasses import dataclass

import numpy as np

from eva_backbone.errors import InputError

METHODS = ("naive", "linear", "gaussian")


@dataclass(frozen=True)
class DecayRule:
    """Score factor as a function of IoU; `method` is one of METHODS."""

    method: str
    iou_threshold: float
    sigma: float

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"soft-NMS method {self.method!r} is not known; choose one of {', '.join(METHODS)}")
        if self.method == "gaussian" and not self.sigma > 0:
            raise InputError(f"gaussian soft-NMS got sigma={self.sigma}; give a sigma above 0")

    def factor(self, iou: np.ndarray) -> np.ndarray:
        """What the scores of boxes are multiplied by that overlap a chosen one by `iou`, 0 to 1 [N]; float32 [N]."""
        if self.method == "gaussian":
            return np.exp(-(iou * iou) / np.float32(self.sigma))
        overlapping = iou >= np.float32(self.iou_threshold)
        return np.where(overlapping, np.float32(0) if self.method == "naive" else 1 - iou, np.float32(1))


def _iou(a: np.ndarray, b: np.ndarray, area_b: np.ndarray) -> np.ndarray:
    """IoU of broadcast boxes [4, ...] and [4, ...], given the areas of the latter; 0 where neither has an area."""
    width = np.minimum(a[2], b[2])
    width -= np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3])
    height -= np.maximum(a[1], b[1])
    inter = np.maximum(width, 0, out=width)
    inter *= np.maximum(height, 0, out=height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + area_b
    union -= inter
    return np.divide(inter, np.maximum(union, np.finfo(np.float32).tiny, out=union), out=inter)


def _areas(corners: np.ndarray) -> np.ndarray:
    return (corners[2] - corners[0]) * (corners[3] - corners[1])


class SharedBoxes:
    """Factors where all classes choose from the same U boxes [U, 4]: one U x U table, computed once."""

    def __init__(self, rule: DecayRule, boxes: np.ndarray) -> None:
        corners = np.ascontiguousarray(boxes.T)
        areas = _areas(corners)
        self.table = np.empty((len(boxes), len(boxes)), np.float32)
        for start in range(0, len(boxes), 64):  # strips that stay in the cache
            strip = slice(start, start + 64)
            self.table[strip] = rule.factor(_iou(corners[:, strip, None], corners[:, None], areas))

    def factors(self, pick: np.ndarray, out: np.ndarray) -> None:
        """out[c] = factors of all boxes with respect to box pick[c]; pick is [C], out [C, U]."""
        np.take(self.table, pick, axis=0, out=out, mode="clip")  # "clip" avoids a buffered copy

    def keep_classes(self, mask: np.ndarray) -> None:
        """Nothing is stored per class."""


class OwnBoxes:
    """Factors where each class has boxes of its own, [C, n, 4]; computed as they are needed."""

    def __init__(self, rule: DecayRule, boxes: np.ndarray) -> None:
        self.rule = rule
        self.corners = np.ascontiguousarray(boxes.transpose(2, 0, 1))
        self.areas = _areas(self.corners)

    def factors(self, pick: np.ndarray, out: np.ndarray) -> None:
        """out[c] = factors of the boxes of class c with respect to its box pick[c]; pick is [C], out [C, n]."""
        emitted = self.corners[:, np.arange(len(pick)), pick]
        np.copyto(out, self.rule.factor(_iou(emitted[..., None], self.corners, self.areas)))

    def keep_classes(self, mask: np.ndarray) -> None:
        """Keep the classes of `mask`, bool [classes]."""
        self.corners, self.areas = np.ascontiguousarray(self.corners[:, mask]), self.areas[mask]

    def keep_boxes(self, columns: np.ndarray) -> None:
        """Of each class keep only the boxes `columns`, [C, m]."""
        self.corners = np.take_along_axis(self.corners, columns[None], axis=2)
        self.areas = np.take_along_axis(self.areas, columns, axis=1)
