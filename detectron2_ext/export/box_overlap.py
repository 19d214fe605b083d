"""IoU of boxes as torchvision's NMS computes it, to the last bit, so that exported models keep the same boxes."""

import numpy as np
import torch
from torch import Tensor

# torchvision's `batched_nms` on the CPU moves the boxes of each class to an area of their own if there are at most
# this many, which rounds their coordinates; otherwise it treats the classes one after the other.
_MAX_MOVED_BOXES = 1000
_TINY = float(torch.finfo(torch.float32).tiny)


def box_areas(boxes: Tensor) -> Tensor:
    """Return the areas [...] of boxes [..., 4]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the IoU [...] of boxes with broadcastable shapes [..., 4]; 0 where both areas are 0."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    sides = (high - low).clamp(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    union = box_areas(boxes) + box_areas(others) - intersection
    return intersection / union.clamp(min=_TINY)


def group_offset(boxes: Tensor, is_valid: Tensor) -> Tensor:
    """Return by how much `batched_nms` moves the boxes of each class further than those of the class before, [B].

    Args:
        boxes: Boxes [B, N, 4] of which NMS gets the valid ones.
        is_valid: bool [B, N].
    """
    largest = torch.where(is_valid, boxes.amax(dim=2), -torch.inf).amax(dim=1)
    is_moved = (is_valid.sum(dim=1) <= _MAX_MOVED_BOXES) & is_valid.any(dim=1)
    return torch.where(is_moved, largest + 1, 0.0)


def largest_kept_iou(threshold: float) -> float:
    """Return the largest float32 IoU at which NMS keeps a box; it compares with the threshold in float64."""
    rounded = np.float32(threshold)
    if float(rounded) > threshold:
        rounded = np.nextafter(rounded, np.float32(-np.inf))
    return float(rounded)
