"""Images or clips to tokens: one convolution whose stride is its kernel."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError


class PatchEmbed(nn.Module):
    """Non-overlapping patches through one convolution with bias.

    Args:
        patch_size: side of a square patch, pixels.
        in_chans: channels of the input.
        embed_dim: width of a token, C.
        tubelet_size: frames per patch; None takes images, a number takes clips.
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
        """[B, in_chans, (T,) H, W] pixels to tokens [B, N, C] and their grid of patches, (H, W) or (T, H, W).

        Raises:
            InputError: a side is not a multiple of the patch.
        """
        sides = tuple(pixels.shape[2:])
        if len(sides) != len(self.kernel) or any(side % patch for side, patch in zip(sides, self.kernel, strict=True)):
            raise InputError(
                f"input of {sides} pixels cannot be cut into patches of {self.kernel}: "
                "pad or resize every side to a multiple of the patch"
            )
        tokens = self.proj(pixels)  # [B, C, *grid]
        return tokens.flatten(2).transpose(1, 2), tuple(tokens.shape[2:])


def resize_patch_kernel(weight: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a kernel [out, in, h, w] to [out, in, *size], each channel pair as a small picture; float32 result.

    Plain bicubic with half-pixel centres, no antialiasing, no rescaling (EVA-01, patch 14 to 16). FlexiViT's
    pseudo-inverse resize (timm's `resample_patch_embed`) gives other numbers.
    """
    return F.interpolate(weight.float(), size=tuple(size), mode="bicubic", align_corners=False)
