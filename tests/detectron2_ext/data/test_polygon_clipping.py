"""Clipped polygons fill the same pixels as the whole polygon drawn by pycocotools on a larger canvas."""

import numpy as np
import pytest
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from pycocotools import mask as mask_api

from detectron2_ext.data.instances import make_instances
from detectron2_ext.data.polygon_clipping import clip_polygons

MARGIN = 500
BOW_TIE = [[-10.0, 10.0], [60.0, 60.0], [60.0, 10.0], [-10.0, 60.0]]


def _raster(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    if not polygons:
        return np.zeros((height, width), dtype=bool)
    flat = [np.reshape(polygon, -1).tolist() for polygon in polygons]
    return mask_api.decode(mask_api.merge(mask_api.frPyObjects(flat, height, width))).astype(bool)


def _cut_raster(points: np.ndarray, x0: int, y0: int, width: int, height: int) -> np.ndarray:
    canvas = _raster([points + MARGIN], height + 2 * MARGIN, width + 2 * MARGIN)
    return canvas[MARGIN + y0 : MARGIN + y0 + height, MARGIN + x0 : MARGIN + x0 + width]


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / max(1, (one | other).sum())


@pytest.mark.parametrize("grid", [0, 1, 40], ids=["real", "integer", "touching"])
def test_random_polygons(grid):
    """Most of them cross themselves; with a coarse grid they also touch themselves and the border."""
    rng = np.random.default_rng(grid)
    ious = []
    for _ in range(60):
        points = rng.uniform(-240, 640, (rng.integers(3, 12), 2))
        if grid:
            points = np.round(points / grid) * grid
        x0, y0 = (int(value) for value in rng.integers(-80, 120, 2))
        expected = _cut_raster(points, x0, y0, 400, 320)
        clipped = clip_polygons([points], x0, y0, 400, 320)
        for polygon in clipped:
            assert polygon.min() >= 0
            assert (polygon <= (400, 320)).all()
        if expected.sum() > 8000:
            ious.append(_iou(_raster(clipped, 320, 400), expected))
    assert len(ious) > 40
    assert min(ious) > 0.99


def test_a_ring_with_a_slit_keeps_its_hole():
    ring = np.array([[-9, 5], [91, 5], [91, 95], [-9, 95], [-9, 5], [11, 25], [11, 75], [71, 75], [71, 25], [11, 25]])
    (clipped,) = clip_polygons([ring], 0, 0, 80, 100)
    assert _iou(_raster([clipped], 100, 80), _cut_raster(ring, 0, 0, 80, 100)) > 0.99


@pytest.mark.parametrize(
    ("points", "bounds"),
    [
        # Two prongs enter the top left quarter; the part that connects them lies outside, around the corner.
        ([[10, -50], [20, -50], [20, 10], [10, 10]], [10, 0, 20, 10]),
        ([[10, 20], [10, -9], [120, -9], [120, 120], [50, 120], [50, 110], [110, 110], [110, -5], [20, -5], [20, 20]],
         [10, 0, 20, 20]),
    ],
)  # fmt: skip
def test_the_bounding_box_is_that_of_the_visible_part(points, bounds):
    (clipped,) = clip_polygons([np.array(points)], 0, 0, 100, 100)
    assert [*clipped.min(axis=0), *clipped.max(axis=0)] == bounds


def test_outside_polygons_are_left_out_also_around_a_corner():
    around = np.array([[-20, 50], [-20, -20], [50, -20], [50, -10], [-10, -10], [-10, 50]])
    assert clip_polygons([around, np.array([[200, 0], [210, 0], [210, 9]])], 0, 0, 100, 100) == []


@pytest.mark.parametrize("crop", [T.CropTransform(5, 3, 90, 70), T.CropTransform(20, 15, 50, 60)])
@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
def test_crops_of_training_keep_both_lobes(crop, mask_format):
    points = np.array(BOW_TIE) + 10
    annotation = {"bbox": [0, 20, 70, 50], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0}
    instances = make_instances(
        [annotation | {"segmentation": [points.reshape(-1)]}],
        T.TransformList([T.HFlipTransform(100), crop]),
        image_size=(100, 100),
        output_size=(crop.h, crop.w),
        with_masks=True,
        mask_format=mask_format,
        recompute_boxes=True,
        max_instances=None,
        source="x.png",
    )
    expected = _cut_raster(points * (-1, 1) + (100, 0), crop.x0, crop.y0, crop.w, crop.h)
    masks = instances.gt_masks
    found = masks.tensor[0].numpy() if mask_format == "bitmask" else _raster(masks.polygons[0], crop.h, crop.w)
    assert _iou(found, expected) > 0.97  # this small, one row of pixels is 2 %
