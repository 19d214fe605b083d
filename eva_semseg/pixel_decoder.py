"""Mask2Former's pixel decoder: deformable attention over strides 8 to 32, one more map at stride 4."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.block import run_layer
from eva_backbone.errors import InputError
from eva_backbone.layer_norm import LayerNorm

from .decoder_parts import decoder_mlp
from .deformable_attention import MultiScaleDeformableAttention, pixel_centres
from .position_encoding import sine_positions

LEVELS = ("res5", "res4", "res3")  # strides 32, 16, 8: the order of everything that is listed by level
NORM_EPSILON = 1e-5


class ConvNorm(nn.Module):
    """A convolution that keeps the size of the map, and a group normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, num_groups: int, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
        self.norm = nn.GroupNorm(num_groups, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] to [B, out_channels, H, W]."""
        return self.norm(self.conv(x))


class EncoderLayer(nn.Module):
    """Deformable attention and a feed-forward layer, each normalised behind its shortcut."""

    def __init__(self, dim: int, num_heads: int, num_points: int, hidden: int) -> None:
        super().__init__()
        self.attn = MultiScaleDeformableAttention(dim, num_heads, len(LEVELS), num_points, value_ratio=1.0)
        self.ffn = decoder_mlp(dim, hidden)
        self.norm1 = LayerNorm(dim, eps=NORM_EPSILON)
        self.norm2 = LayerNorm(dim, eps=NORM_EPSILON)

    def forward(self, x: Tensor, positions: Tensor, references: Tensor, shapes: list[tuple[int, int]]) -> Tensor:
        """Tokens of all levels [B, N, C] to [B, N, C]; positions steer where to look and are not looked at."""
        x = self.norm1(x + self.attn(x + positions, references, x, shapes))
        return self.norm2(x + self.ffn(x))


class PixelDecoder(nn.Module):
    """Four maps of the backbone to the map that masks are read from, and three that the queries attend to.

    Args:
        in_channels: of the backbone's maps.
        dim: width of all that it returns, a multiple of 4.
        num_heads, num_points: of the deformable attention.
        num_layers: of the encoder.
        hidden: width of its feed-forward layers.
        num_groups: of the group normalisation; divides `dim`.

    Raises:
        InputError: a width that is no multiple of 4 and of the number of groups, or heads that do not divide it.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int = 1024,
        *,
        num_heads: int = 32,
        num_points: int = 4,
        num_layers: int = 6,
        hidden: int = 4096,
        num_groups: int = 32,
    ) -> None:
        super().__init__()
        if dim % 4 or dim % num_groups:
            raise InputError(
                f"dim={dim} of the decoder is no multiple of 4 and of num_groups={num_groups}; change one of them."
            )
        self.dim = dim
        self.input_convs = nn.ModuleList(
            ConvNorm(in_channels, dim, 1, num_groups=num_groups, bias=True) for _ in LEVELS
        )
        self.layers = nn.ModuleList(EncoderLayer(dim, num_heads, num_points, hidden) for _ in range(num_layers))
        self.level_embed = nn.Embedding(len(LEVELS), dim)
        self.lateral_conv = ConvNorm(in_channels, dim, 1, num_groups=num_groups, bias=False)
        self.output_conv = ConvNorm(dim, dim, 3, num_groups=num_groups, bias=False)
        self.mask_conv = nn.Conv2d(dim, dim, 1)
        for level in self.input_convs:
            nn.init.xavier_uniform_(level.get_parameter("conv.weight"))
            nn.init.zeros_(level.get_parameter("conv.bias"))
        for conv in (self.lateral_conv.conv, self.output_conv.conv, self.mask_conv):
            nn.init.kaiming_uniform_(conv.weight, a=1)
        nn.init.zeros_(self.get_parameter("mask_conv.bias"))

    def forward(self, features: Mapping[str, Tensor], *, recompute: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Maps "res2" to "res5" [B, in_channels, H, W] of strides 4 to 32 to mask features and memories.

        Args:
            features: the backbone's maps.
            recompute: keep only the inputs of the encoder's layers for the backward pass.

        Returns:
            Mask features [B, dim, H, W] at stride 4, and memories [B, dim, H, W] at strides 32, 16 and 8.
        """
        maps = [conv(features[name]) for name, conv in zip(LEVELS, self.input_convs, strict=True)]
        shapes = [tuple(level.shape[2:]) for level in maps]
        x = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)
        embeds = self.level_embed.weight[:, None]
        positions = torch.cat(
            [sine_positions(shape, self.dim, embed) + embed for shape, embed in zip(shapes, embeds, strict=True)],
            dim=1,
        )
        references = pixel_centres(shapes, x.device)
        for layer in self.layers:
            x = run_layer(layer, x, positions, references, shapes, recompute=recompute)
        tokens = x.split([height * width for height, width in shapes], dim=1)
        # contiguous: convolutions and normalisations differ in speed, and on some devices in correctness, on views
        memories = [t.transpose(1, 2).unflatten(2, shape).contiguous() for t, shape in zip(tokens, shapes, strict=True)]
        lateral = self.lateral_conv(features["res2"])
        upsampled = F.interpolate(memories[-1], size=lateral.shape[2:], mode="bilinear", align_corners=False)
        return self.mask_conv(F.relu(self.output_conv(lateral + upsampled))), memories
