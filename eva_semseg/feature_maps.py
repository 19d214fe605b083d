"""The four feature maps that every segmentation backbone computes for the heads."""

import torch.nn.functional as F
from torch import Tensor

STRIDES = (4, 8, 16, 32)
FEATURE_NAMES = ("res2", "res3", "res4", "res5")
FINEST, COARSEST = STRIDES[0], STRIDES[-1]


def pad_sides(images: Tensor, multiple: int, *, minimum: int = 0, value: float = 0) -> Tensor:
    """Pad images or label maps [..., H, W] at the bottom and right to multiples of `multiple`, at least `minimum`."""
    height, width = images.shape[-2:]
    bottom = max(height + -height % multiple, minimum) - height
    right = max(width + -width % multiple, minimum) - width
    return F.pad(images, (0, right, 0, bottom), value=value)
