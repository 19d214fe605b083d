"""Soft-NMS factors of classes that have different boxes, for the few pairs of boxes that overlap enough to matter.

"naive" and "linear" leave all boxes unchanged whose IoU with the emitted box is below the threshold. Finding the other
pairs once, and lowering only their scores in each round, takes a third of the time of computing all IoUs in each round.
"""

from typing import NamedTuple

import numpy as np

from .soft_nms_decay import DecayRule, box_areas, pairwise_iou

# Relative error of float32 that is allowed for when pairs are ruled out without computing their IoU.
_TOLERANCE = np.float32(1e-4)


# More pairs than this per box cost more to find and to keep than they save; measured.
_MAX_PAIRS_PER_BOX = 5


class NeighbourFactors:
    """Factors of the boxes that the emitted boxes lower, in one list for all of them.

    Args:
        columns: Neighbours of the boxes, those of box i of class c at starts[c, i] and the following ones, [M].
        factors: Their factors, float32 [M].
        starts: [C, n], see `columns`.
        lengths: Number of neighbours of each box, [C, n].
    """

    def __init__(self, columns: np.ndarray, factors: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
        self.columns, self.factors, self.starts, self.lengths = columns, factors, starts, lengths
        self.classes = np.arange(len(starts))

    def decay(self, scores: np.ndarray, emitted: np.ndarray) -> None:
        """Lower `scores` [C, n] in place, given the column `emitted` [C] of the emitted box of each class."""
        lengths = self.lengths[self.classes, emitted]
        ends = lengths.cumsum()
        # Entry k of a class is entry starts + k of the list, and entry ends - lengths + k of what is selected from it.
        offsets = self.starts[self.classes, emitted] - (ends - lengths)
        selected = offsets.repeat(lengths) + np.arange(ends[-1])
        first_entries = np.arange(0, scores.size, scores.shape[1])
        entries = first_entries.repeat(lengths) + self.columns[selected]
        flat = scores.reshape(-1)  # a view: the matrix is contiguous
        flat[entries] *= self.factors[selected]

    def keep_classes(self, mask: np.ndarray) -> None:
        """Keep only the classes of the bool `mask` [C]."""
        self.classes = self.classes[mask]


def find_neighbours(rule: DecayRule, boxes: np.ndarray, is_box: np.ndarray, num_rounds: int) -> NeighbourFactors | None:
    """Find the pairs of boxes of a class that lower each other's scores.

    Boxes are sorted by their left edge and compared with the next one, the one after that, and so on, of all classes at
    once. A box that begins more than (1 - threshold) times the width to the right cannot reach the threshold.

    Args:
        rule: Factor as a function of IoU.
        boxes: float32 corners [C, n, 4].
        is_box: bool [C, n], False for entries that stand for no box.
        num_rounds: Largest number of rounds.

    Returns:
        The factors; None if computing all IoUs in each round would take less time, or if the rule concerns all pairs.
    """
    if rule.method == "gaussian" or rule.iou_threshold <= 0:
        return None
    num_boxes = is_box.shape[1]
    corners = np.where(is_box, boxes.transpose(2, 0, 1), np.float32(0))  # [4, C, n]
    corners[::2, ~is_box] = 4 * np.abs(boxes).max() + 1  # to the right of all boxes, without width
    order = np.argsort(corners[0], axis=1)
    corners = np.take_along_axis(corners, order[None], axis=2)
    largest_step = _largest_step(rule, corners, num_boxes - is_box.sum(axis=1))
    # A comparison of all boxes with their next one costs less than a round with all IoUs; the factors are measured.
    if 2 * largest_step > num_rounds:
        return None
    fullest = is_box.sum(axis=1).argmax()
    num_pairs = len(_find_pairs(rule, corners[:, fullest : fullest + 1], largest_step).first)
    if num_pairs > _MAX_PAIRS_PER_BOX * num_boxes:
        return None
    pairs = _find_pairs(rule, corners, largest_step)
    flat = corners.reshape(4, -1)
    second_corners = flat[:, pairs.second]
    factors = rule.factor(pairwise_iou(flat[:, pairs.first], second_corners, box_areas(second_corners)))
    # IoU does not depend on the order of the two boxes, so each pair is a neighbour and its factor for both.
    starts = np.cumsum(pairs.lengths) - pairs.lengths
    columns, list_of_factors = np.empty(2 * len(factors), np.int64), np.empty(2 * len(factors), np.float32)
    columns_before_sorting = order.reshape(-1)
    for box, slot, other in (
        (pairs.first, pairs.first_slots, pairs.second),
        (pairs.second, pairs.second_slots, pairs.first),
    ):
        entry = starts[box] + slot
        columns[entry] = columns_before_sorting[other]
        list_of_factors[entry] = factors
    by_column = []
    for of_sorted in (starts, pairs.lengths):
        of_boxes = np.empty_like(order)
        np.put_along_axis(of_boxes, order, of_sorted.reshape(order.shape), axis=1)
        by_column.append(of_boxes)
    return NeighbourFactors(columns, list_of_factors, *by_column)


def _largest_step(rule: DecayRule, corners: np.ndarray, num_empty: np.ndarray) -> int:
    """Return how many positions apart two boxes of a class can be, in the order of left edges, and still matter."""
    left, right = corners[0], corners[2]
    # Their IoU is at most 1 - d / width, where d is the distance of the left edges and width that of the left box.
    reach = max(1 - rule.iou_threshold, 0) * (right - left) + 4 * _TOLERANCE * np.maximum(right - left, 1)
    reach += np.spacing(np.abs(corners).max()) * 4  # rounding of the differences
    largest = 0
    for class_left, class_reach, empty in zip(left, reach, num_empty, strict=True):
        count = len(class_left) - empty
        ends = np.searchsorted(class_left, class_left[:count] + class_reach[:count], side="right")
        largest = max(largest, int((np.minimum(ends, count) - np.arange(count)).max(initial=1)) - 1)
    return largest


class _Pairs(NamedTuple):
    """Pairs of entries of the flattened matrix of sorted boxes, and their positions in the lists of both entries."""

    first: np.ndarray
    second: np.ndarray
    first_slots: np.ndarray
    second_slots: np.ndarray
    lengths: np.ndarray  # of the lists of all entries, [C * n]


def _find_pairs(rule: DecayRule, corners: np.ndarray, largest_step: int) -> _Pairs:
    """Find pairs of sorted boxes [4, C, n], among them all whose IoU reaches the threshold.

    The IoU is not computed: intersection / union >= t is intersection >= t / (1 + t) * (the sum of both areas).
    """
    num_classes, num_boxes = corners.shape[1:]
    threshold = np.float32(rule.iou_threshold / (1 + rule.iou_threshold)) * (1 - _TOLERANCE)
    bounds = threshold * box_areas(corners)
    lengths = np.zeros(num_classes * num_boxes, np.int64)
    none = np.zeros(0, np.int64)
    found = [(none, none, none, none)]
    for step in range(1, largest_step + 1):
        a, b = corners[:, :, :-step], corners[:, :, step:]
        intersection = np.minimum(a[2], b[2])
        intersection -= b[0]  # the larger of the two left edges
        height = np.minimum(a[3], b[3])
        height -= np.maximum(a[1], b[1])
        intersection *= np.maximum(height, 0, out=height)
        hits = np.flatnonzero(intersection > bounds[:, :-step] + bounds[:, step:])
        row, column = np.divmod(hits, num_boxes - step)
        first = row * num_boxes + column
        second = first + step
        # Each box is the first of at most one pair of this step, and the second of at most one.
        first_slots = lengths[first]
        lengths[first] += 1
        second_slots = lengths[second]
        lengths[second] += 1
        found.append((first, second, first_slots, second_slots))
    first, second, first_slots, second_slots = map(np.concatenate, zip(*found, strict=True))
    return _Pairs(first, second, first_slots, second_slots, lengths)
