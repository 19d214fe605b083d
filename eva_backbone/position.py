"""The learned absolute position table and its one resize, used at run time and when weights are loaded."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F


def square_grid(num_positions: int) -> tuple[int, int]:
    """The (side, side) of a square table of `num_positions` entries; ValueError when it is no square."""
    side = math.isqrt(num_positions)
    if side * side != num_positions:
        raise ValueError(f"a position table of {num_positions} entries is not a square grid: name its grid")
    return side, side


def resize_pos_embed(
    pos_embed: torch.Tensor,
    grid: Sequence[int],
    num_prefix_tokens: int = 1,
    source_grid: Sequence[int] | None = None,
    compute_dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Resize a table [1, num_prefix_tokens + prod(source_grid), C] to `grid`; the prefix entries are kept as they are.

    Two-dimensional grids are resized bicubically, grids with a leading time axis trilinearly, both in `compute_dtype`,
    with half-pixel centres and without antialiasing (timm antialiases; published EVA figures do not). The result has
    the table's dtype and is differentiable. `source_grid` may be left out for square tables.
    """
    prefix, table = pos_embed[:, :num_prefix_tokens], pos_embed[:, num_prefix_tokens:]
    grid = tuple(grid)
    source_grid = tuple(source_grid) if source_grid is not None else square_grid(table.shape[1])
    if source_grid == grid:
        return pos_embed
    maps = table.to(compute_dtype).reshape(1, *source_grid, -1).movedim(-1, 1)  # [1, C, *source_grid]
    mode = "bicubic" if len(grid) == 2 else "trilinear"
    maps = F.interpolate(maps, size=grid, mode=mode, align_corners=False)
    return torch.cat([prefix, maps.flatten(2).transpose(1, 2).to(pos_embed.dtype)], dim=1)
