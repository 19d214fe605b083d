"""Sine position encoding of a feature map."""

import math

import torch
from torch import Tensor

TEMPERATURE = 10000
EPSILON = 1e-6


def sine_positions(grid: tuple[int, int], dim: int, like: Tensor) -> Tensor:
    """Positions of a map of (H, W) as tokens in row order, [1, H * W, dim], computed in float32 under autocast too.

    The first half of the channels tells the row, the second the column; sine and cosine alternate. Rows and columns are
    counted from 1 and divided by their number, so that the last of them is one full turn.

    Args:
        grid: (H, W).
        dim: width of a token, a multiple of 4.
        like: has the type and the device of the result.
    """
    rows, columns = (_encode_axis(length, dim // 2, like.device) for length in grid)
    rows = rows[:, None].expand(-1, grid[1], -1)
    columns = columns[None].expand(grid[0], -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)[None].to(like.dtype)


def _encode_axis(length: int, num_features: int, device: torch.device) -> Tensor:
    """[length, num_features]."""
    turns = torch.arange(1, length + 1, dtype=torch.float32, device=device)
    turns = turns / (turns[-1:] + EPSILON) * (2 * math.pi)
    pairs = torch.arange(num_features, dtype=torch.float32, device=device).div(2, rounding_mode="floor")
    angles = turns[:, None] / TEMPERATURE ** (2 * pairs / num_features)
    return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)
