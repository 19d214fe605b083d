"""Detectron2's region pooling without sizes that depend on values: every level pools all regions, mostly empty ones."""

import struct
from typing import Any

import torch
from detectron2.layers import ROIAlign
from detectron2.modeling.poolers import ROIPooler, assign_boxes_to_levels
from detectron2.structures import Boxes
from torch import Tensor, nn

from eva_backbone.errors import InputError

from .box_overlap import box_areas


class FixedPooler(nn.Module):
    """`ROIPooler` with ROIAlign for a fixed number of regions per image.

    A region is pooled from the map of one level. For the other levels it is replaced by a region without area, which
    takes no samples and therefore no time.

    Args:
        pooler: Pooler of a detector.

    Raises:
        InputError: It pools by another method.
    """

    def __init__(self, pooler: nn.Module) -> None:
        super().__init__()
        if not isinstance(pooler, ROIPooler) or not all(isinstance(x, ROIAlign) for x in pooler.level_poolers):
            raise InputError("regions cannot be pooled by this method in an export; use pooler_type=ROIAlignV2.")
        self.level_poolers = pooler.level_poolers
        self.smallest_areas = smallest_areas(pooler)

    def forward(self, maps: list[Tensor], boxes: Tensor) -> Tensor:
        """Return the features [B * R, C, side, side] of boxes [B, R, 4] from the map of each level."""
        batch, num_regions = boxes.shape[:2]
        image = torch.arange(batch, device=boxes.device)[:, None, None].expand(-1, num_regions, 1).to(boxes.dtype)
        regions = torch.cat([image, boxes], dim=2).flatten(0, 1)
        areas = box_areas(boxes).flatten()
        level = torch.zeros_like(areas, dtype=torch.int64)
        for smallest in self.smallest_areas:
            level = level + (areas >= smallest)
        # With a sampling ratio of 0, the number of samples grows with the sides of the box. Without any, torchvision
        # returns zeros, and OpenVINO divides by zero.
        has_samples = ((boxes[..., 2:] - boxes[..., :2]) > 0).all(dim=2).flatten()
        pooled: Any = 0
        for number, (level_map, pooler) in enumerate(zip(maps, self.level_poolers, strict=True)):
            is_here = (level == number)[:, None]
            if pooler.sampling_ratio == 0:
                is_here = is_here & has_samples[:, None]
            # The index of the image stays.
            of_level = torch.cat([regions[:, :1], torch.where(is_here, regions[:, 1:], 0.0)], dim=1)
            pooled = pooled + torch.where(is_here[..., None, None], pooler(level_map, of_level), 0.0)
        return pooled


def smallest_areas(pooler: ROIPooler) -> list[float]:
    """Return for each level but the first the smallest float32 area of a box that is pooled from it or a later one.

    Detectron2 computes the level by a logarithm, which runtimes round differently. A comparison has no such rounding.
    The areas are found with Detectron2's function, by bisection of the bits of float32, which are in its order.
    """
    found = []
    num_levels = pooler.max_level - pooler.min_level + 1
    for level in range(1, num_levels):
        low, high = 0, _bits(1e30)  # below and at least the level
        while high - low > 1:
            middle = (low + high) // 2
            if _level_of_area(pooler, _from_bits(middle)) >= level:
                high = middle
            else:
                low = middle
        found.append(_from_bits(high))
    return found


def _level_of_area(pooler: ROIPooler, area: float) -> int:
    box = Boxes(torch.tensor([[0.0, 0.0, 1.0, area]]))
    level = assign_boxes_to_levels(
        [box], pooler.min_level, pooler.max_level, pooler.canonical_box_size, pooler.canonical_level
    )
    return int(level)


def _bits(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


def _from_bits(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", bits))[0]
