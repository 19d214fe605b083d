"""Anchors that fit the boxes of a data set."""

import numpy as np
import pytest

from detectron2_ext.data.box_statistics import best_overlaps
from detectron2_ext.fitting import fit_anchors


def squares(*sides):
    return np.array([[side, side] for side in sides], dtype=float)


def test_sizes_divide_the_range_of_the_boxes_evenly():
    sides = 2.0 ** np.linspace(3, 6, 1001)  # 8 to 64; without 2 % at both ends, 2^3.06 to 2^5.94
    sizes, ratios = fit_anchors(squares(*sides), num_levels=3, num_ratios=1)
    assert sizes == [[pytest.approx(2 ** (4.5 + 0.96 * step), abs=0.05)] for step in (-1, 0, 1)]
    assert ratios == [1]


def test_a_rare_size_gets_an_anchor():
    boxes = squares(*[100] * 90, *[10] * 10)
    sizes, _ = fit_anchors(boxes, num_levels=3, num_ratios=3)
    assert min(min(level) for level in sizes) < 20
    assert max(max(level) for level in sizes) > 50


def test_sizes_of_equal_boxes_stay_apart():
    sizes, ratios = fit_anchors(squares(32, 32), num_levels=3, num_ratios=3)
    assert sizes == [[25.4], [32.0], [40.3]]
    assert ratios == [0.8, 1.0, 1.25]


def test_aspect_ratios_are_height_by_width_at_equal_shares():
    boxes = np.array([[80.0, 20.0]] * 3 + [[40.0, 40.0]] * 3 + [[20.0, 80.0]] * 3)
    _, ratios = fit_anchors(boxes, num_levels=1, num_ratios=3)
    assert ratios == [0.25, 1, 4]


def test_a_wide_range_gets_more_sizes_per_level_unless_their_number_is_given():
    sides = 2.0 ** np.linspace(2, 10, 500)
    sizes, _ = fit_anchors(squares(*sides), num_levels=3, num_ratios=1)
    assert [len(level) for level in sizes] == [3, 3, 3]
    anchors = np.array([[size, size] for level in sizes for size in level])
    assert (best_overlaps(squares(*sides), anchors) >= 0.5).mean() > 0.95
    flat = [size for level in sizes for size in level]
    assert flat == sorted(flat)
    sizes, _ = fit_anchors(squares(*sides), num_levels=3, num_ratios=1, per_level=1)
    assert [len(level) for level in sizes] == [1, 1, 1]
