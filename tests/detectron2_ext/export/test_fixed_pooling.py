"""Regions are pooled from the level that Detectron2 chooses, also at its borders, and without area where it does."""

import math

import pytest
import torch
from detectron2.modeling.poolers import ROIPooler, assign_boxes_to_levels
from detectron2.structures import Boxes
from golden.detector import build_pooler

from detectron2_ext.export.fixed_pooling import FixedPooler, smallest_areas
from eva_backbone.errors import InputError


def test_the_level_changes_at_exactly_the_area_where_detectron2_changes_it():
    for area in smallest_areas(build_pooler(7)):
        below = torch.tensor(area).nextafter(torch.tensor(0.0)).item()
        boxes = Boxes(torch.tensor([[0.0, 0.0, 1.0, below], [0.0, 0.0, 1.0, area]]))
        first, second = assign_boxes_to_levels([boxes], 2, 5, 224, 4).tolist()
        assert second == first + 1
    assert [round(math.sqrt(area)) for area in smallest_areas(build_pooler(7))] == [112, 224, 448]


@pytest.mark.parametrize("sampling_ratio", [0, 1])
def test_features_are_those_of_the_pooler(sampling_ratio):
    pooler = ROIPooler(7, (1 / 4, 1 / 8, 1 / 16, 1 / 32), sampling_ratio, "ROIAlignV2")
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 3, 512 // stride, 512 // stride, generator=generator) for stride in (4, 8, 16, 32)]
    low = 400 * torch.rand(2, 40, 2, generator=generator)
    sides = 400 * torch.rand(2, 40, 2, generator=generator) ** 3
    sides[0, :5], sides[1, 5:10, 0] = 0, 0  # without area, as after clipping
    boxes = torch.cat([low, (low + sides).clamp(max=512)], dim=2)
    boxes[1, 0] = torch.tensor([0.0, 0.0, 448.0, 448.0])
    expected = pooler(maps, [Boxes(image_boxes) for image_boxes in boxes])
    assert torch.equal(FixedPooler(pooler)(maps, boxes), expected)


def test_other_methods_are_refused():
    with pytest.raises(InputError, match="use pooler_type=ROIAlignV2"):
        FixedPooler(ROIPooler(7, (1 / 4,), 0, "ROIPool"))
