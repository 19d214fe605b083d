"""The four feature maps that every segmentation backbone computes for the heads."""

import torch.nn.functional as F
from torch import Tensor

STRIDES = (4, 8, 16, 32)
FEATURE_NAMES = ("res2", "res3", "res4", "res5")
COARSEST = STRIDES[-1]


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return (height, width), rounded up to multiples of the coarsest stride."""
    return height + -height % COARSEST, width + -width % COARSEST


def pad_to_strides(images: Tensor, value: float = 0) -> Tensor:
    """Pad images or label maps [..., H, W] at the bottom and right to `padded_size`."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % COARSEST, 0, -height % COARSEST), value=value)
