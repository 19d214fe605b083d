"""Soft-NMS (Bodla et al., 2017): the scores of overlapping boxes are lowered instead of removing the boxes.

All classes are processed at once, as the rows of a matrix of scores. In each round every class emits its best box and
lowers the scores of its other boxes. Classes do not influence each other, so they can share a round; one sort at the
end gives the order in which a single loop over all boxes would emit them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from .soft_nms_decay import DecayRule, PerClassBoxFactors, SharedBoxFactors
from .soft_nms_neighbours import NeighbourFactors, find_neighbours

# Largest number of distinct boxes for which the factors of all pairs are tabulated: 4096^2 floats are 64 MiB.
_MAX_TABLE_BOXES = 4096

# Rounds between two removals of dead boxes, which trade the time of the removal for the time spent on dead boxes.
_COMPACTION_PERIOD = 32

# Score of matrix entries without a candidate: empty ones and those already emitted. It is below every live score.
_NO_CANDIDATE = np.float32(-1)

Factors = SharedBoxFactors | PerClassBoxFactors | NeighbourFactors

# Scores [C, n], candidate indices [C, n] and the factors of a matrix with a row per class.
ClassMatrix = tuple[np.ndarray, np.ndarray, Factors]


def soft_nms(boxes: torch.Tensor, scores: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply soft-NMS to a single class; options and results are those of `batched_soft_nms`."""
    return batched_soft_nms(boxes, scores, torch.zeros(len(boxes), dtype=torch.int64), **options)


@torch.no_grad()
def batched_soft_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    classes: torch.Tensor,
    *,
    method: str = "linear",
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    topk: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply soft-NMS within each class.

    The box of highest current score is emitted repeatedly. Every other box of its class that has IoU `o` with it is
    multiplied by a factor: `naive` 0 if o >= iou_threshold; `linear` 1 - o if o >= iou_threshold; `gaussian`
    exp(-o^2 / sigma) for every o. A box whose score falls below `min_score` is dropped, except for the first box
    emitted over all classes. Of equal scores the lower index comes first. Two boxes without area do not overlap.

    Args:
        boxes: Finite corners [N, 4] (x1, y1, x2, y2) with width x2 - x1.
        scores: Finite, non-negative scores [N].
        classes: Integers [N].
        method: "naive", "linear" or "gaussian".
        iou_threshold: IoU from which "naive" and "linear" act.
        sigma: Width of "gaussian".
        min_score: Score below which a box is dropped.
        topk: Keep only the first `topk` boxes emitted over all classes; None keeps all.

    Returns:
        The indices [M] of the kept boxes in the order of emission, that is by descending decayed score, and their
        decayed scores [M], both on the device of `boxes`. The computation is done on the CPU in float32.

    Raises:
        InputError: The method is unknown, or `sigma` is not positive although the method is "gaussian".
    """
    rule = DecayRule(method, iou_threshold, sigma)
    box_array = np.ascontiguousarray(boxes.detach().float().cpu().numpy())
    score_array = scores.detach().float().cpu().numpy()
    limit = len(score_array) if topk is None else topk
    live = np.flatnonzero(score_array >= min_score)
    if len(live) > 0:
        kept_parts, score_parts = [], []
        live_classes = classes.cpu().numpy()[live]
        live_boxes, live_scores = box_array[live], score_array[live]
        for class_scores, index, factors in _class_matrices(rule, live_boxes, live_scores, live_classes, limit):
            kept_part, score_part = _run_rounds(class_scores, index, factors, min_score, limit)
            kept_parts.append(live[kept_part])
            score_parts.append(score_part)
        kept, decayed = np.concatenate(kept_parts), np.concatenate(score_parts)
    elif len(score_array) > 0:
        # The first box emitted is kept even if its score is below `min_score`.
        kept = score_array.argmax(axis=0, keepdims=True)
        decayed = score_array[kept]
    else:
        kept, decayed = live, score_array
    # Scores only ever fall, so sorting by the score at emission gives the order of a single loop over all classes.
    order = np.lexsort((kept, -decayed))[:limit]
    return torch.from_numpy(kept[order]).to(boxes.device), torch.from_numpy(decayed[order]).to(boxes.device)


def _class_matrices(
    rule: DecayRule, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, limit: int
) -> Iterator[ClassMatrix]:
    """Arrange candidates in matrices with a row per class.

    Candidates must be in ascending order within each row, because a round takes the first of equal scores.
    """
    _, row, class_sizes = np.unique(classes, return_inverse=True, return_counts=True)
    by_class = np.argsort(row, kind="stable")  # candidates sorted by class, in their original order within a class
    for column, distinct_boxes in _shared_columns(boxes, row):
        # A table of all pairs pays off only if it is small and at least a quarter of the matrix is used.
        small = len(distinct_boxes) <= _MAX_TABLE_BOXES
        filled = len(class_sizes) * len(distinct_boxes) <= 4 * len(scores)
        # The columns of each class must rise strictly: no box occurs twice in a class, and ties are broken correctly.
        rising = (np.diff(column[by_class]) > 0) | (np.diff(row[by_class]) > 0)
        if small and filled and rising.all():
            index = _index_matrix(row, column, (len(class_sizes), len(distinct_boxes)))
            yield _score_matrix(index, scores), index, SharedBoxFactors(rule, distinct_boxes)
            return
    # Otherwise a candidate's column is its position within its class.
    column = np.empty_like(row)
    first_of_class = np.cumsum(class_sizes) - class_sizes
    column[by_class] = np.arange(len(row)) - np.repeat(first_of_class, class_sizes)
    # One matrix for classes of 1, 2, 3 to 4, 5 to 8, ... candidates, so that each is at least half full.
    size_bin = np.ceil(np.log2(class_sizes)).astype(int)
    for number in np.unique(size_bin):
        members = np.flatnonzero(size_bin == number)
        candidates = np.flatnonzero(size_bin[row] == number)
        member_row = np.searchsorted(members, row[candidates])
        index = _index_matrix(member_row, column[candidates], (len(members), class_sizes[members].max()))
        index = np.where(index >= 0, candidates[index], -1)
        # Empty entries get the last box, which does no harm: they are never emitted.
        num_rounds = min(limit, index.shape[1])
        factors = find_neighbours(rule, boxes[index], index >= 0, num_rounds) or PerClassBoxFactors(rule, boxes[index])
        yield _score_matrix(index, scores), index, factors


def _shared_columns(boxes: np.ndarray, row: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Guess which candidates share a box.

    Yields:
        The column [N] of each candidate in a list of boxes, and that list [U, 4].
    """
    # First guess: the candidates are listed box by box with ascending classes, as nonzero() of a [boxes, classes]
    # matrix gives them. Then candidates with the same box are neighbours, and a class that does not rise starts
    # another box, even one with equal corners.
    is_new_box = (boxes[1:] != boxes[:-1]).any(axis=1) | (row[1:] <= row[:-1])
    starts = np.concatenate([[0], np.flatnonzero(is_new_box) + 1])
    run_lengths = np.diff(starts, append=len(boxes))
    yield np.repeat(np.arange(len(starts)), run_lengths), boxes[starts]
    # Second guess, for any other order: group equal boxes by one 64-bit hash per box, which is cheaper to sort than
    # four corners. The constant is 2^64 divided by the golden ratio (Fibonacci hashing).
    halves = boxes.view(np.uint64)
    key = halves[:, 0] * np.uint64(0x9E3779B97F4A7C15) + (halves[:, 1] ^ (halves[:, 1] >> np.uint64(29)))
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    if np.array_equal(boxes[first][group], boxes):  # no two different boxes have the same hash
        # Number the boxes in the order of their first candidate, so that the columns of each class ascend if all
        # classes list the boxes in the same order.
        by_appearance = np.argsort(first)
        yield np.argsort(by_appearance)[group], boxes[first[by_appearance]]


def _index_matrix(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the matrix of candidate indices, -1 where there is no candidate."""
    index = np.full(shape, -1, np.int64)
    index[row, column] = np.arange(len(row))
    return index


def _score_matrix(index: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.where(index >= 0, scores[index], _NO_CANDIDATE)


def _run_rounds(
    scores: np.ndarray,
    index: np.ndarray,
    factors: Factors,
    min_score: float,
    limit: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Emit the best box of every class in each round until no class has a live box.

    Args:
        scores: Current scores [C, n]; modified in place.
        index: Candidate indices [C, n]; modified in place.
        factors: Factors of the boxes; modified in place.
        min_score: Score below which a box is dead.
        limit: Number of rounds after which to stop: no class can have more boxes among the first `limit` of all.

    Returns:
        Candidate indices [M] and scores at emission [M].
    """
    min_live_score = max(min_score, 0)  # above `_NO_CANDIDATE` also if `min_score` is negative
    emitted_index, emitted_scores = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for round_number in range(min(limit, scores.shape[1])):
        best = scores.argmax(axis=1)
        best_scores = scores[np.arange(len(best)), best]
        unfinished = best_scores >= min_live_score
        if not unfinished.all():
            scores, index = scores[unfinished], index[unfinished]
            best, best_scores = best[unfinished], best_scores[unfinished]
            factors.keep_classes(unfinished)
            if len(scores) == 0:
                break
        best_entries = np.arange(len(best)), best
        emitted_index.append(index[best_entries])
        emitted_scores.append(best_scores)
        factors.decay(scores, best)
        scores[best_entries], index[best_entries] = _NO_CANDIDATE, -1
        if min_score <= 0:
            # A factor of 0 turns the score of an entry emitted earlier into -0, which would count as live.
            scores[index < 0] = _NO_CANDIDATE
        period_ends = (round_number + 1) % _COMPACTION_PERIOD == 0
        if period_ends and isinstance(factors, PerClassBoxFactors):
            is_live = scores >= min_live_score
            num_columns = np.count_nonzero(is_live, axis=1).max()
            if num_columns == 0:
                break
            if num_columns < 0.8 * scores.shape[1]:
                # Stable, so that live boxes stay in ascending order.
                columns = np.argsort(~is_live, axis=1, kind="stable")[:, :num_columns]
                scores = np.take_along_axis(scores, columns, axis=1)
                index = np.take_along_axis(index, columns, axis=1)
                factors.keep_columns(columns)
    return np.concatenate(emitted_index), np.concatenate(emitted_scores)
