"""Overlapping slices of a large image, and the rule by which the objects found in them become those of the image.

An object of one slice and an object of the same class of another slice are the same if their boxes agree where both
slices see them: within the overlap of the slices, the IoU of the boxes is at least 0.5. The rest of a large object is
not compared, because one of the slices cannot see it; therefore a small object that lies on a large one is kept.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.tasks import MAX_OVERLAP, MIN_SLICE

_MIN_AGREEMENT = 0.5
# A box that ends within this fraction of its slice's side from the border is taken for an object that the border cuts.
_BORDER = 0.02


class Window(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The corners (x0, y0, x1, y1)."""
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclass(frozen=True)
class Slices:
    """Cut images into overlapping squares.

    Args:
        size: Side of a slice in pixels of the image, at least `MIN_SLICE`; slices of a narrower image are as narrow as
            the image.
        overlap: Fraction of its side that a slice at least shares with the next one, 0 to 0.9. Objects that are smaller
            than the overlap are always seen by a slice as a whole.
        full_image: Predict the image as a whole too, for objects that are larger than a slice.

    Raises:
        InputError: The size or the overlap is out of range.
    """

    size: int
    overlap: float = 0.2
    full_image: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        if self.size < MIN_SLICE:
            raise InputError(
                f"slices of {self.size} pixels are too small; give a side of at least {MIN_SLICE} pixels, such as 1024."
            )
        if not 0 <= self.overlap <= MAX_OVERLAP:
            raise InputError(f"the overlap of slices is {self.overlap}; give a fraction from 0 to {MAX_OVERLAP}.")

    def windows(self, height: int, width: int) -> list[Window]:
        """Return the slices of an image row by row, after the image as a whole if that is predicted too.

        An image that one slice covers has only one window, the image.
        """
        tops, slice_height = self._starts(height)
        lefts, slice_width = self._starts(width)
        windows = [Window(top, left, slice_height, slice_width) for top in tops for left in lefts]
        if self.full_image and len(windows) > 1:
            windows.insert(0, Window(0, 0, height, width))
        return windows

    def _starts(self, length: int) -> tuple[list[int], int]:
        """Return the first pixel of each slice along an axis, and the side of the slices."""
        if length <= self.size:
            return [0], length
        stride = self.size - round(self.overlap * self.size)
        num_steps = -(-(length - self.size) // stride)  # rounded up
        # Spread evenly, so that no slice is almost the same as the next one.
        return [round(step * (length - self.size) / num_steps) for step in range(num_steps + 1)], self.size


class MergedObject(NamedTuple):
    """An object of the image.

    Attributes:
        best: Index of the detection that gives its score.
        parts: Indices of the detections whose union is its box and mask, best first.
    """

    best: int
    parts: list[int]


def merge_slices(
    windows: Sequence[Window], numbers: np.ndarray, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray
) -> list[MergedObject]:
    """Find the detections of different slices that are the same object; see the module's docstring.

    An object starts with the best detection that is left. The best detection of every other slice that agrees with it
    is added, and what agrees with the added ones: an object may reach over many slices. If one of them is not cut by
    the border of its slice and covers half of the union, the best such one gives box and mask; else it is the union.

    Args:
        windows: The slices, one of which may be the image as a whole.
        numbers: Integers [N], slice of each detection.
        boxes: Corners [N, 4] in pixels of the image.
        scores: Scores [N].
        classes: Integers [N]; only detections of a class are merged.

    Returns:
        The objects by descending score.
    """
    neighbours = _neighbours(windows, numbers, boxes, classes)
    cut = _are_cut(windows, numbers, boxes)
    is_taken = np.zeros(len(scores), dtype=bool)
    order = np.argsort(-scores, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    objects = []
    for best in order.tolist():
        if is_taken[best]:
            continue
        members = _collect(best, neighbours, numbers, rank, is_taken)
        is_taken[members] = True
        members.sort(key=rank.__getitem__)
        objects.append(MergedObject(best, _visible_parts(members, boxes, cut)))
    return objects


def _neighbours(
    windows: Sequence[Window], numbers: np.ndarray, boxes: np.ndarray, classes: np.ndarray
) -> dict[int, list[int]]:
    """Return for each detection those of other slices that agree with it."""
    corners = np.array([window.box for window in windows], dtype=np.float64)
    members = [np.flatnonzero(numbers == number) for number in range(len(windows))]
    neighbours: dict[int, list[int]] = defaultdict(list)
    for first in range(len(windows)):
        for second in range(first + 1, len(windows)):
            overlap = np.concatenate(
                [
                    np.maximum(corners[first, :2], corners[second, :2]),
                    np.minimum(corners[first, 2:], corners[second, 2:]),
                ]
            )
            if (overlap[2:] <= overlap[:2]).any():
                continue
            rows, columns = _inside(members[first], boxes, overlap), _inside(members[second], boxes, overlap)
            agree = _iou(_clip(boxes[rows], overlap), _clip(boxes[columns], overlap)) >= _MIN_AGREEMENT
            agree &= classes[rows][:, None] == classes[columns]
            for row, column in zip(*np.nonzero(agree), strict=True):
                neighbours[int(rows[row])].append(int(columns[column]))
                neighbours[int(columns[column])].append(int(rows[row]))
    return neighbours


def _inside(indices: np.ndarray, boxes: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return those indices whose boxes have a part in `area`."""
    clipped = _clip(boxes[indices], area)
    return indices[(clipped[:, 2:] > clipped[:, :2]).all(axis=1)]


def _clip(boxes: np.ndarray, area: np.ndarray) -> np.ndarray:
    return np.clip(boxes, np.tile(area[:2], 2), np.tile(area[2:], 2))


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU [N, M] of boxes [N, 4] with others [M, 4], which all have an area."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    intersection = (high - low).clip(min=0).prod(axis=2)
    areas, other_areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), (others[:, 2:] - others[:, :2]).prod(axis=1)
    return intersection / (areas[:, None] + other_areas - intersection)


def _are_cut(windows: Sequence[Window], numbers: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return bool [N]: whether the box reaches a border of its slice that is not one of the image."""
    corners = np.array([window.box for window in windows], dtype=np.float64)
    image = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
    margin = _BORDER * (corners[:, 2:] - corners[:, :2])
    low = (boxes[:, :2] < (corners[:, :2] + margin)[numbers]) & (corners[:, :2] > image[:2])[numbers]
    high = (boxes[:, 2:] > (corners[:, 2:] - margin)[numbers]) & (corners[:, 2:] < image[2:])[numbers]
    return (low | high).any(axis=1)


def _collect(
    best: int, neighbours: dict[int, list[int]], numbers: np.ndarray, rank: np.ndarray, is_taken: np.ndarray
) -> list[int]:
    """Return `best` and what agrees with it or with those already added, of each slice the one of the best rank."""
    members, slices = [best], {int(numbers[best])}
    candidates = set(neighbours[best])
    while candidates:
        # By rank and not by agreement, because soft-NMS leaves duplicates of low score that may agree more.
        added = min(candidates, key=rank.__getitem__)
        candidates.remove(added)
        if is_taken[added] or int(numbers[added]) in slices:
            continue
        members.append(added)
        slices.add(int(numbers[added]))
        candidates.update(neighbours[added])
    return members


def _visible_parts(members: list[int], boxes: np.ndarray, cut: np.ndarray) -> list[int]:
    """Return the member that shows the object as a whole, or all of them; `members` are sorted, best first."""
    union = np.concatenate([boxes[members, :2].min(axis=0), boxes[members, 2:].max(axis=0)])
    for member in members:
        size = boxes[member, 2:] - boxes[member, :2]
        if not cut[member] and size.prod() >= _MIN_AGREEMENT * (union[2:] - union[:2]).prod():
            return [member]
    return members
