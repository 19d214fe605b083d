"""Patch embedding of images and clips: a convolution whose stride equals its kernel size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError


class PatchEmbed(nn.Module):
    """Embedding of non-overlapping patches by one convolution with bias.

    Args:
        patch_size: Side of a square patch in pixels.
        in_chans: Number of input channels.
        embed_dim: Token width, C.
        tubelet_size: Frames per patch for clips; None for images.
    """

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int, tubelet_size: int | None = None) -> None:
        super().__init__()
        self.proj: nn.Conv2d | nn.Conv3d
        if tubelet_size is None:
            self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size)
        else:
            patch = (tubelet_size, patch_size, patch_size)
            self.proj = nn.Conv3d(in_chans, embed_dim, kernel_size=patch, stride=patch)
        self.kernel = self.proj.kernel_size

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
        """Embed pixels [B, in_chans, H, W] or [B, in_chans, T, H, W].

        Returns:
            Tokens [B, N, C] in row-major order, and their grid, (H, W) or (T, H, W) in patches.

        Raises:
            InputError: If a side is not a multiple of the patch size, or if images are given for clips or vice versa.
        """
        sides = tuple(pixels.shape[2:])
        if len(sides) != len(self.kernel) or any(side % patch for side, patch in zip(sides, self.kernel, strict=True)):
            raise InputError(
                f"input of size {sides} cannot be divided into patches of size {self.kernel}: "
                "pad or resize every side to a multiple of the patch size"
            )
        tokens = self.proj(pixels)  # [B, C, *grid]
        return tokens.flatten(2).transpose(1, 2), tuple(tokens.shape[2:])


def resize_patch_kernel(weight: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a kernel [out, in, h, w] to [out, in, *size] bicubically, as an image per channel pair; returns float32.

    With half-pixel centres, without antialiasing and without rescaling of the values, as EVA does from patch size 14 to
    16. FlexiViT's pseudo-inverse resize (timm's `resample_patch_embed`) gives different values.
    """
    return F.interpolate(weight.float(), size=tuple(size), mode="bicubic", align_corners=False)
