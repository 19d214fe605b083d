"""Resizing of the learned absolute position table, at run time and when weights are loaded."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F


def square_grid(num_positions: int) -> tuple[int, int]:
    """Return (side, side) for a square table of `num_positions` entries; raises ValueError if it is not square."""
    side = math.isqrt(num_positions)
    if side * side != num_positions:
        raise ValueError(f"a position table of {num_positions} entries is not a square grid: give its grid")
    return side, side


def resize_pos_embed(
    pos_embed: torch.Tensor,
    grid: Sequence[int],
    num_prefix_tokens: int = 1,
    source_grid: Sequence[int] | None = None,
    compute_dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Resize a table [1, num_prefix_tokens + prod(source_grid), C] to `grid`, differentiably; prefix entries are kept.

    Two-dimensional grids are resized bicubically and grids with a leading time axis trilinearly, with half-pixel
    centres and without antialiasing (timm antialiases; the published EVA results do not).

    Args:
        pos_embed: Position table; the result has its dtype.
        grid: (H, W) or (T, H, W) in tokens of the result.
        num_prefix_tokens: Entries before the patches, such as that of the class token. They have no position in the
            grid, so they are not interpolated.
        source_grid: Grid of `pos_embed`; may be omitted for square tables.
        compute_dtype: Dtype of the interpolation.

    Raises:
        ValueError: If `source_grid` is omitted for a table that is not square.
    """
    prefix, table = pos_embed[:, :num_prefix_tokens], pos_embed[:, num_prefix_tokens:]
    grid = tuple(grid)
    source_grid = tuple(source_grid) if source_grid is not None else square_grid(table.shape[1])
    if source_grid == grid:
        return pos_embed
    # The table as an image of C channels, so that tokens that are neighbours in the grid are interpolated.
    maps = table.to(compute_dtype).reshape(1, *source_grid, -1).movedim(-1, 1)  # [1, C, *source_grid]
    mode = "bicubic" if len(grid) == 2 else "trilinear"
    maps = F.interpolate(maps, size=grid, mode=mode, align_corners=False)
    return torch.cat([prefix, maps.flatten(2).transpose(1, 2).to(pos_embed.dtype)], dim=1)
