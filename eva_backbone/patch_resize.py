"""The patch embedding's kernel at another patch size, as the published patch-14 to patch-16 conversion makes it."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def resize_patch_kernel(weight: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a kernel [out, in, h, w] to [out, in, *size], each channel pair as a small picture; float32 result.

    Plain bicubic with half-pixel centres, no antialiasing, no rescaling (EVA-01, patch 14 to 16). FlexiViT's
    pseudo-inverse resize (timm's `resample_patch_embed`) gives other numbers.
    """
    return F.interpolate(weight.float(), size=tuple(size), mode="bicubic", align_corners=False)
