"""Sizes of boxes at the recipe's image size, and how much of them anchors cover."""

import numpy as np
import pytest
from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import BoxMode
from omegaconf import OmegaConf

from detectron2_ext.data.box_statistics import (
    anchor_coverage,
    anchor_shapes,
    best_overlaps,
    box_statistics,
    resize_factors,
)


def record(width, height, *boxes):
    return {"width": width, "height": height, "annotations": list(boxes)}


def box(width, height, **more):
    return {"bbox": [1, 2, width, height], "bbox_mode": BoxMode.XYWH_ABS, **more}


def recipe(*augmentations, sizes=((32,), (64,)), ratios=(0.5, 1.0, 2.0)):
    generator = L(DefaultAnchorGenerator)(
        sizes=[list(level) for level in sizes], aspect_ratios=list(ratios), strides=[8, 16], offset=0.5
    )
    return OmegaConf.create(
        {
            "model": {"proposal_generator": {"anchor_generator": generator}},
            "dataloader": {"test": {"mapper": {"augmentations": list(augmentations)}}},
        },
        flags={"allow_objects": True},
    )


def test_boxes_are_counted_without_crowd_regions():
    corners = {"bbox": [10, 20, 40, 80], "bbox_mode": BoxMode.XYXY_ABS}
    found = box_statistics(
        [record(640, 480, box(30, 20), box(9, 9, iscrowd=1)), record(100, 50), record(8, 8, corners)]
    )
    assert found.image_sizes.tolist() == [[640, 480], [100, 50], [8, 8]]
    assert found.box_sizes.tolist() == [[30, 20], [30, 60]]
    assert found.objects_per_image.tolist() == [1, 0, 1]


def test_boxes_are_measured_at_the_size_of_the_recipe():
    cfg = recipe(L(T.ResizeShortestEdge)(short_edge_length=320, max_size=320), L(T.RandomFlip)())
    found = box_statistics([record(640, 480, box(64, 32)), record(160, 320, box(10, 10)), record(640, 480, box(2, 4))])
    factors = resize_factors(cfg, found.image_sizes)
    assert factors.tolist() == [[0.5, 0.5], [1, 1], [0.5, 0.5]]
    assert found.scaled_boxes(factors).tolist() == [[32, 16], [10, 10], [1, 2]]
    assert resize_factors(recipe(), found.image_sizes).tolist() == [[1, 1]] * 3
    assert resize_factors(recipe(L(T.Resize)(shape=(240, 640))), found.image_sizes)[0].tolist() == [1, 0.5]


def test_anchors_have_the_area_of_their_size_and_are_higher_for_larger_ratios():
    assert anchor_shapes(recipe(sizes=[[32]], ratios=[0.25, 1.0, 4.0])).tolist() == [[64, 16], [32, 32], [16, 64]]
    assert len(anchor_shapes(recipe())) == 6


def test_overlap_is_that_of_boxes_with_the_same_centre():
    boxes = np.array([[32.0, 32.0], [16.0, 64.0], [64.0, 64.0], [1.0, 1.0]])
    assert best_overlaps(boxes, np.array([[32.0, 32.0]])).tolist() == [1, 1 / 3, 0.25, 1 / 1024]
    assert best_overlaps(boxes, np.array([[32.0, 32.0], [32.0, 64.0]]))[2] == 0.5


def test_coverage_is_the_share_of_boxes_with_an_anchor_that_overlaps_by_half():
    found = box_statistics([record(100, 100, box(32, 32), box(16, 64), box(4, 4), box(8, 8))])
    assert anchor_coverage(recipe(), found) == 0.5
    enlarged = recipe(L(T.ResizeShortestEdge)(short_edge_length=400, max_size=400))
    assert anchor_coverage(enlarged, found) == pytest.approx(0.25)  # only the 8 pixels, which become 32
