"""A small ViT that starts with convolutions, for training from random weights on few images."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from eva_backbone.errors import InputError

from .simple_feature_pyramid import ChannelLayerNorm
from .vit import ViT


class ConvStem(nn.Module):
    """Embedding of patches by 3x3 convolutions of stride 2 instead of one convolution of the size of a patch.

    A plain patch embedding has to learn from the data that neighbouring pixels belong together; convolutions start with
    that structure, so that a ViT learns from fewer images (Xiao et al., "Early convolutions help transformers see
    better", 2021).

    Args:
        widths: Channels after each convolution, which halves the sides.
        in_chans: Number of input channels.
        embed_dim: Token width, C.
    """

    def __init__(self, widths: Sequence[int], in_chans: int, embed_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([in_chans, *widths]):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), ChannelLayerNorm(outputs), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.proj = nn.Conv2d(widths[-1], embed_dim, kernel_size=1)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
        """Embed pixels [B, in_chans, H, W]: tokens [B, N, C] in row-major order, and their grid (height, width)."""
        tokens = self.proj(self.layers(pixels))
        return tokens.flatten(2).transpose(1, 2), tuple(tokens.shape[2:])


class ConvStemViT(ViT):
    """`ViT` with a `ConvStem` in place of its patch embedding.

    Args:
        stem_widths: Channels after each convolution of the stem.
        patch_size: Patch side in pixels, a power of 2 with one convolution for each factor of 2.
        in_chans: Number of input channels.
        embed_dim: Token width.
        options: Further arguments of `ViT`.

    Raises:
        InputError: `patch_size` is not 2 to the power of the number of `stem_widths`.
    """

    def __init__(
        self,
        stem_widths: Sequence[int],
        *,
        patch_size: int = 8,
        in_chans: int = 3,
        embed_dim: int = 96,
        **options: Any,
    ) -> None:
        super().__init__(patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim, **options)
        if patch_size != 2 ** len(stem_widths):
            raise InputError(
                f"stem_widths has {len(stem_widths)} convolutions of stride 2, which do not make patches of "
                f"{patch_size} pixels; set patch_size={2 ** len(stem_widths)}"
            )
        # Another embedding with the same interface.
        self.patch_embed = ConvStem(stem_widths, in_chans, embed_dim)  # type: ignore[assignment]
