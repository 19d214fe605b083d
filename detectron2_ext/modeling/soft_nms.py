"""Soft-NMS (Bodla et al., 2017): overlapping boxes lose score instead of being removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

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


# A table of all pairs pays when classes share boxes (class-agnostic regression); 4096^2 floats are 64 MiB.
_MAX_TABLE_BOXES = 4096


def soft_nms(boxes: torch.Tensor, scores: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft-NMS of a single class; options and results as in `batched_soft_nms`."""
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
    """Soft-NMS within each class.

    Again and again the box of highest current score is emitted, and every other box of its class with IoU `o` to it is
    multiplied by: `naive` 0 if o >= iou_threshold; `linear` 1 - o if o >= iou_threshold; `gaussian` exp(-o^2 / sigma)
    whatever the threshold. A box whose score is below `min_score` is dropped; only the first box emitted of all classes
    is exempt. Of equal scores the lower index goes first. Two boxes without area do not overlap.

    Args:
        boxes: [N, 4] finite corners (x1, y1, x2, y2), width is x2 - x1.
        scores: [N], finite and not negative.
        classes: [N] integers.
        topk: keep only the first `topk` emitted over all classes; None keeps all.

    Returns:
        keep [M], indices in order of emission, that is by falling decayed score, and those decayed scores [M], both on
        the device of `boxes`. The work is done on the CPU in float32.
    """
    rule = DecayRule(method, iou_threshold, sigma)
    box_array = np.ascontiguousarray(boxes.detach().float().cpu().numpy())
    score_array = scores.detach().float().cpu().numpy()
    limit = len(score_array) if topk is None else topk
    live = np.flatnonzero(score_array >= min_score)
    if len(live) > 0:
        groups = _group(rule, box_array[live], score_array[live], classes.cpu().numpy()[live])
        emitted = [_emit(*group, min_score=min_score, limit=limit) for group in groups]
        keep = live[np.concatenate([index for index, _ in emitted])]
        decayed = np.concatenate([score for _, score in emitted])
    else:  # the exemption of the first box
        keep = score_array.argmax(axis=0, keepdims=True) if len(score_array) else live
        decayed = score_array[keep]
    # Scores only fall, so sorting by score at emission gives the order of one loop over all classes.
    order = np.lexsort((keep, -decayed))[:limit]
    return torch.from_numpy(keep[order]).to(boxes.device), torch.from_numpy(decayed[order]).to(boxes.device)


def _group(
    rule: DecayRule, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, SharedBoxes | OwnBoxes]]:
    """Lay candidates out in matrices with a row per class: their scores, their indices (-1: empty), their factors."""
    _, row, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    by_class = np.argsort(row, kind="stable")
    for column, table_boxes in _shared_columns(boxes, row):
        few = len(table_boxes) <= _MAX_TABLE_BOXES and len(sizes) * len(table_boxes) <= 4 * len(scores)
        rising = (np.diff(column[by_class]) > 0) | (np.diff(row[by_class]) > 0)
        if few and rising.all():  # each box once in a class, and in the order of the candidates, which decides ties
            index = _fill(row, column, (len(sizes), len(table_boxes)))
            yield _scores_of(index, scores), index, SharedBoxes(rule, table_boxes)
            return
    column = np.empty_like(row)
    column[by_class] = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    octave = np.ceil(np.log2(sizes)).astype(int)  # classes of like size together, so a matrix is never half empty
    for size in np.unique(octave):
        members = np.flatnonzero(octave == size)
        chosen = np.flatnonzero(octave[row] == size)
        index = _fill(np.searchsorted(members, row[chosen]), column[chosen], (len(members), sizes[members].max()))
        index = np.where(index >= 0, chosen[index], -1)
        yield _scores_of(index, scores), index, OwnBoxes(rule, boxes[index])


def _shared_columns(boxes: np.ndarray, row: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Guesses of which candidates have the same box: the place of each in a list of boxes [N], and that list [U, 4]."""
    # Listed box by box, classes rising, as nonzero() of a score matrix does: equal neighbours.
    starts = np.flatnonzero((boxes[1:] != boxes[:-1]).any(axis=1) | (row[1:] <= row[:-1])) + 1
    starts = np.concatenate([[0], starts])
    yield np.repeat(np.arange(len(starts)), np.diff(starts, append=len(boxes))), boxes[starts]
    # In any other order: equal keys, if boxes of one key are indeed equal.
    halves = boxes.view(np.uint64)
    key = halves[:, 0] * np.uint64(0x9E3779B97F4A7C15) + (halves[:, 1] ^ (halves[:, 1] >> np.uint64(29)))
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    if np.array_equal(boxes[first][place], boxes):
        by_appearance = np.argsort(first)
        yield np.argsort(by_appearance)[place], boxes[first[by_appearance]]


def _fill(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    index = np.full(shape, -1, np.int64)
    index[row, column] = np.arange(len(row))
    return index


def _scores_of(index: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.where(index >= 0, scores[index], np.float32(-1))


def _emit(
    state: np.ndarray, index: np.ndarray, decay: SharedBoxes | OwnBoxes, *, min_score: float, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Run the rounds: in each, every class emits its best box. Returns candidate indices and scores at emission."""
    emitted_index, emitted_score = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    factors = np.empty_like(state)
    for done in range(min(limit, state.shape[1])):
        pick = state.argmax(axis=1)
        best = np.take_along_axis(state, pick[:, None], axis=1)[:, 0]
        live = best >= max(min_score, 0)
        if not live.all():  # classes that have finished leave
            state, index, pick, best = state[live], index[live], pick[live], best[live]
            factors = np.empty_like(state)
            decay.keep_classes(live)
            if len(state) == 0:
                break
        place = np.arange(len(pick)), pick
        emitted_index.append(index[place])
        emitted_score.append(best)
        decay.factors(pick, out=factors)
        np.multiply(state, factors, out=state)
        state[place], index[place] = -1, -1
        if min_score <= 0:  # an emitted box times factor 0 would be a live box of score 0
            state[index < 0] = -1
        if done % 32 == 31 and isinstance(decay, OwnBoxes):  # what is dead costs time
            width = np.count_nonzero(state >= max(min_score, 0), axis=1).max()
            if width == 0:
                break
            if width < 0.8 * state.shape[1]:
                columns = np.argsort(state < max(min_score, 0), axis=1, kind="stable")[:, :width]
                state, index = (np.take_along_axis(x, columns, axis=1) for x in (state, index))
                factors = np.empty_like(state)
                decay.keep_boxes(columns)
    return np.concatenate(emitted_index), np.concatenate(emitted_score)
