"""Mask2Former's pixel decoder: deformable attention over strides 8 to 32, and a map at stride 4 for the masks."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from eva_backbone.block import run_layer
from eva_backbone.errors import InputError
from eva_backbone.layer_norm import LayerNorm

from .deformable_attention import MultiScaleDeformableAttention, pixel_centres

LEVELS = ("res5", "res4", "res3")  # strides 32, 16, 8: the order of everything that is listed by level
NORM_EPSILON = 1e-5
TEMPERATURE = 10000  # of the position encoding
POSITION_EPSILON = 1e-6


def decoder_mlp(dim: int, hidden: int) -> Mlp:
    """Return two linear layers with a ReLU between them, for tokens of width `dim`.

    Weights have Mask2Former's initialisation, biases PyTorch's.
    """
    mlp = Mlp(dim, hidden, act_layer=nn.ReLU)
    for layer in (mlp.fc1, mlp.fc2):
        nn.init.xavier_normal_(layer.weight)
    return mlp


def sine_positions(grid: tuple[int, int], dim: int, like: Tensor) -> Tensor:
    """Return the sine position encoding of a map of shape (H, W), computed in float32 under autocast too.

    The first half of the channels encodes the row, the second half the column; sine and cosine alternate. Rows and
    columns are counted from 1 and divided by their number, so that positions are relative to the image: the last row or
    column is one full turn (2 pi) of the fastest wave at any size.

    Args:
        grid: (H, W).
        dim: Width of a token, a multiple of 4.
        like: Tensor with the dtype and the device of the result.

    Returns:
        [1, H * W, dim], row by row.
    """
    rows, columns = (_encode_axis(length, dim // 2, like.device) for length in grid)
    rows = rows[:, None].expand(-1, grid[1], -1)
    columns = columns[None].expand(grid[0], -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)[None].to(like.dtype)


def _encode_axis(length: int, num_features: int, device: torch.device) -> Tensor:
    """Return the encoding [length, num_features] of the positions along one axis."""
    # Frequencies fall geometrically from 1 to almost 1 / TEMPERATURE: fast waves separate neighbours, slow ones encode
    # the rough position.
    positions = torch.arange(1, length + 1, dtype=torch.float32, device=device)
    positions = positions / (positions[-1:] + POSITION_EPSILON) * (2 * math.pi)
    # 0, 0, 1, 1, 2, 2, ...: a sine and a cosine share each frequency
    pairs = torch.arange(num_features, dtype=torch.float32, device=device).div(2, rounding_mode="floor")
    angles = positions[:, None] / TEMPERATURE ** (2 * pairs / num_features)
    return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)


class ConvNorm(nn.Module):
    """A convolution that keeps the size of the map, followed by group normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, num_groups: int, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
        self.norm = nn.GroupNorm(num_groups, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        return self.norm(self.conv(x))


class EncoderLayer(nn.Module):
    """Deformable attention and a feed-forward layer, each with a shortcut and normalisation after it."""

    def __init__(self, dim: int, num_heads: int, num_points: int, hidden: int) -> None:
        super().__init__()
        self.attn = MultiScaleDeformableAttention(dim, num_heads, len(LEVELS), num_points, value_ratio=1.0)
        self.ffn = decoder_mlp(dim, hidden)
        self.norm1 = LayerNorm(dim, eps=NORM_EPSILON)
        self.norm2 = LayerNorm(dim, eps=NORM_EPSILON)

    def forward(self, x: Tensor, positions: Tensor, references: Tensor, shapes: list[tuple[int, int]]) -> Tensor:
        """Update the tokens of all levels, [B, N, C] to [B, N, C].

        Positions are added to the queries only, where they influence the sampling locations; values have none.
        """
        x = self.norm1(x + self.attn(x + positions, references, x, shapes))
        return self.norm2(x + self.ffn(x))


class PixelDecoder(nn.Module):
    """Computes mask features and three memories for the queries' attention from four maps of the backbone.

    Args:
        in_channels: Channels of the backbone's maps.
        dim: Width of all outputs, a multiple of 4.
        num_heads, num_points: Of the deformable attention.
        num_layers: Number of encoder layers.
        hidden: Width of their feed-forward layers.
        num_groups: Groups of the group normalisation; divides `dim`.

    Raises:
        InputError: A width that is not a multiple of 4 and of the number of groups, or that the number of heads does
            not divide.
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
                f"dim={dim} of the decoder must be a multiple of 4 and of num_groups={num_groups}; change one of them."
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

    def forward(self, features: Mapping[str, Tensor], *, use_checkpoint: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Compute mask features and memories.

        Args:
            features: The backbone's maps "res2" to "res5" [B, in_channels, H, W] at strides 4 to 32.
            use_checkpoint: Keep only the inputs of the encoder layers for the backward pass.

        Returns:
            Mask features [B, dim, H, W] at stride 4, and memories [B, dim, H, W] at strides 32, 16 and 8.
        """
        maps = [conv(features[name]) for name, conv in zip(LEVELS, self.input_convs, strict=True)]
        shapes = [tuple(level.shape[2:]) for level in maps]
        x = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)
        # The sine encoding is the same for a location at every level; the embedding of the level tells them apart.
        positions = []
        for shape, embed in zip(shapes, self.level_embed.weight[:, None], strict=True):
            positions.append(sine_positions(shape, self.dim, embed) + embed)
        position_tokens = torch.cat(positions, dim=1)
        references = pixel_centres(shapes, x.device)
        for layer in self.layers:
            x = run_layer(layer, x, position_tokens, references, shapes, use_checkpoint=use_checkpoint)

        tokens = x.split([height * width for height, width in shapes], dim=1)
        # contiguous: convolutions and normalisations differ in speed, and on some devices in correctness, on views
        memories = [t.transpose(1, 2).unflatten(2, shape).contiguous() for t, shape in zip(tokens, shapes, strict=True)]
        # Stride 4 would be too many tokens for the encoder: as in a feature pyramid, its result is added upsampled.
        lateral = self.lateral_conv(features["res2"])
        upsampled = F.interpolate(memories[-1], size=lateral.shape[2:], mode="bilinear", align_corners=False)
        return self.mask_conv(F.relu(self.output_conv(lateral + upsampled))), memories
