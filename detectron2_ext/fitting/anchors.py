"""Anchor sizes and aspect ratios from the boxes of a data set."""

import math

import numpy as np

from ..data.box_statistics import COVERED, best_overlaps

_MIN_STEP = 2 ** (1 / 3)  # from one anchor size to the next; closer ones would be assigned the same boxes
_MIN_RATIO_STEP = 1.25
_ENOUGH = 0.95  # share of covered boxes from which more anchors are not worth their time
_LEAST_GAIN = 0.02  # of that share; a step that adds less is not worth it either
_MOST_PER_LEVEL = 3


def fit_anchors(
    boxes: np.ndarray, num_levels: int, num_ratios: int, per_level: int | None = None
) -> tuple[list[list[float]], list[float]]:
    """Choose anchors that cover the sizes of boxes evenly, rare sizes included, and their most frequent aspect ratios.

    Args:
        boxes: Width and height of the boxes at the size of the model's images, [N, 2], with N above 0.
        num_levels: Levels of the pyramid. Larger anchors belong to coarser levels.
        num_ratios: Number of aspect ratios.
        per_level: Number of sizes of a level; None takes as many, up to 3, as cover 95 % of the boxes.

    Returns:
        The sizes of each level in pixels, and the aspect ratios, height / width.
    """
    sides = np.sqrt(boxes.prod(axis=1))
    ratios = _aspect_ratios(boxes, num_ratios)
    best_share, best_sizes = -1.0, np.zeros(0)
    for count in [per_level] if per_level else range(1, _MOST_PER_LEVEL + 1):
        sizes = _even_sizes(sides, num_levels * count)
        widths = sizes[:, None] / np.sqrt(ratios)
        anchors = np.stack([widths, widths * ratios], axis=-1).reshape(-1, 2)
        share = float((best_overlaps(boxes, anchors) >= COVERED).mean())
        if share >= best_share + _LEAST_GAIN:
            best_share, best_sizes = share, sizes
        if share >= _ENOUGH:
            break
    return best_sizes.round(1).reshape(num_levels, -1).tolist(), ratios.round(2).tolist()


def _even_sizes(sides: np.ndarray, count: int) -> np.ndarray:
    """Return the middles of `count` equal parts of the range of `sides` on a logarithmic scale.

    The smallest and the largest 2 % are left out, because a few outliers would widen the range for all.
    """
    low, high = np.log(np.percentile(sides, (2, 98)))
    step = max((high - low) / count, math.log(_MIN_STEP))
    return np.exp((low + high) / 2 + step * (np.arange(count) - (count - 1) / 2))


def _aspect_ratios(boxes: np.ndarray, count: int) -> np.ndarray:
    """Return ratios at the middles of equal shares of the boxes, further apart if these are nearly equal."""
    logs = np.quantile(np.log(boxes[:, 1] / boxes[:, 0]), (np.arange(count) + 0.5) / count)
    steps = np.maximum(np.diff(logs), math.log(_MIN_RATIO_STEP))
    spread = np.concatenate([[0], np.cumsum(steps)])
    return np.exp(spread - spread.mean() + logs.mean())
