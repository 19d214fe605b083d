"""Slices cover the image with the overlap asked for, and the objects that several slices see become one."""

import numpy as np
import pytest

from detectron2_ext.prediction.slices import Slices, Window, merge_slices
from eva_backbone.errors import InputError

# Two slices of 100 pixels that share the columns from 80 to 100.
LEFT, RIGHT = Window(0, 0, 100, 100), Window(0, 80, 100, 100)


def merge(windows, *detections):
    """Merge detections (number of the window, box, score, class); return the best detection and the parts of each."""
    numbers, boxes, scores, classes = zip(*detections, strict=True)
    merged = merge_slices(
        windows, np.array(numbers), np.array(boxes, np.float64), np.array(scores, np.float32), np.array(classes)
    )
    return [(item.best, item.parts) for item in merged]


@pytest.mark.parametrize(("height", "width"), [(100, 100), (101, 100), (1000, 333), (4000, 6000), (1, 700)])
@pytest.mark.parametrize("overlap", [0, 0.2, 0.9])
def test_windows_cover_the_image(height, width, overlap):
    windows = Slices(100, overlap).windows(height, width)
    is_covered = np.zeros((height, width), bool)
    for window in windows:
        assert (window.height, window.width) == (min(height, 100), min(width, 100))
        x0, y0, x1, y1 = window.box
        assert 0 <= y0 < y1 <= height
        assert 0 <= x0 < x1 <= width
        is_covered[y0:y1, x0:x1] = True
    assert is_covered.all()
    assert len(set(windows)) == len(windows)
    for starts in (sorted({w.top for w in windows}), sorted({w.left for w in windows})):
        assert max(np.diff(starts), default=0) <= 100 - round(100 * overlap)


def test_number_of_windows():
    # 5 rows and 8 columns: 1024 + 4 * 819 >= 4000 and 1024 + 7 * 819 >= 6000, with one step fewer it is not.
    assert len(Slices(1024, 0.2).windows(4000, 6000)) == 5 * 8


def test_an_image_of_one_slice_is_not_cut():
    assert Slices(1024, full_image=True).windows(1024, 700) == [Window(0, 0, 1024, 700)]


def test_full_image_comes_first():
    windows = Slices(100, 0.2, full_image=True).windows(100, 180)
    assert windows == [Window(0, 0, 100, 180), LEFT, RIGHT]


@pytest.mark.parametrize("values", [{"size": 31}, {"size": 32, "overlap": 0.95}, {"size": 32, "overlap": -0.1}])
def test_unusable_slices(values):
    with pytest.raises(InputError):
        Slices(**values)


def test_an_object_across_the_border_is_the_union_of_its_parts():
    merged = merge([LEFT, RIGHT], (0, [60, 10, 100, 30], 0.7, 0), (1, [80, 11, 150, 30], 0.9, 0))
    assert merged == [(1, [1, 0])]


def test_an_object_that_one_slice_shows_as_a_whole_is_taken_from_it():
    # The right slice sees only what is right of column 80; its score is the better one.
    merged = merge([LEFT, RIGHT], (0, [60, 10, 95, 30], 0.7, 0), (1, [80, 11, 95, 30], 0.9, 0))
    assert merged == [(1, [0])]


def test_an_object_in_the_overlap_is_found_once():
    merged = merge([LEFT, RIGHT], (0, [84, 10, 96, 30], 0.7, 0), (1, [84, 11, 96, 30], 0.9, 0))
    assert merged == [(1, [1])]


def test_a_small_object_on_a_large_one_is_kept():
    # Of the small object, 100 % lie on the large one. Within the overlap, the large one is 20 x 80 pixels.
    large, small = (0, [10, 10, 100, 90], 0.9, 0), (1, [84, 40, 96, 52], 0.8, 0)
    assert merge([LEFT, RIGHT], large, small) == [(0, [0]), (1, [1])]


def test_classes_and_detections_of_one_slice_are_not_merged():
    box = [84, 10, 96, 30]
    assert len(merge([LEFT, RIGHT], (0, box, 0.9, 0), (1, box, 0.8, 1))) == 2
    assert len(merge([LEFT, RIGHT], (0, box, 0.9, 0), (0, box, 0.8, 0))) == 2


def test_duplicates_find_a_partner_each():
    first, second = [84, 10, 96, 30], [84, 12, 96, 32]
    merged = merge([LEFT, RIGHT], (0, first, 0.9, 0), (0, second, 0.5, 0), (1, second, 0.4, 0), (1, first, 0.8, 0))
    assert merged == [(0, [0]), (1, [1])]


def test_an_object_over_three_slices():
    # The first and the third slice do not overlap; the middle one connects them.
    windows = [Window(0, left, 100, 100) for left in (0, 80, 160)]
    parts = [(0, [50, 10, 100, 30], 0.9, 0), (1, [80, 10, 180, 30], 0.6, 0), (2, [160, 10, 200, 30], 0.7, 0)]
    assert merge(windows, *parts) == [(0, [0, 2, 1])]


def test_the_image_as_a_whole_shows_large_objects():
    windows = [Window(0, 0, 100, 180), LEFT, RIGHT]
    whole, left, right = (0, [20, 10, 160, 90], 0.6, 0), (1, [20, 10, 100, 90], 0.9, 0), (2, [80, 10, 160, 90], 0.8, 0)
    assert merge(windows, whole, left, right) == [(1, [0])]


def test_no_detections():
    none = np.zeros((0, 4))
    assert merge_slices([LEFT, RIGHT], none[:, 0].astype(int), none, none[:, 0], none[:, 0]) == []
