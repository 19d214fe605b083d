"""Rotary positions of EVA-02: queries and keys are rotated by angles that grow with the row and column of their patch.

After the rotation, the product of a query and a key depends on the difference of their positions. Angles are computed
from the grid at hand, so no table is stored and images may have any size and aspect ratio.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

from .constant_cache import cached_constant
from .errors import InputError

# The release saves the tables of its rotations, which are computed here.
TABLE_NAME = re.compile(r"(^|\.)rope(_win|_glb)?\.freqs_(cos|sin)$")
THETA = 10_000.0  # the slowest frequency is about 1 / THETA, as in the original transformer


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of the rotation angles, float32 [N, head_dim / 2] or, with places per sample, [B, 1, N, ...].

    Channels 2 j and 2 j + 1 of a token are the coordinates of a point in a plane, which is rotated by angle j.
    """

    cos: torch.Tensor
    sin: torch.Tensor

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Rotate queries or keys [B, heads, N, head_dim]; computed in at least float32, returned in their dtype."""
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        rotated = torch.stack((a * self.cos - b * self.sin, b * self.cos + a * self.sin), dim=-1)
        return rotated.flatten(-2).to(x.dtype)

    def select(self, kept: torch.Tensor) -> "Rotation":
        """Return the angles of the tokens `kept`, indices [B, M] into the N tokens, for queries [B, heads, M, ...]."""
        return Rotation(self.cos[kept].unsqueeze(1), self.sin[kept].unsqueeze(1))


@cached_constant(maxsize=16)
def grid_rotation(
    grid: tuple[int, ...], head_dim: int, position_range: float | None, num_prefix_tokens: int, device: torch.device
) -> Rotation:
    """Compute the rotation of the patches on `grid`, in row-major order; prefix tokens before them are not rotated.

    The first half of the channels is rotated by the row, the second half by the column.

    Args:
        grid: (H, W) in patches.
        head_dim: Width of an attention head, a multiple of 4.
        position_range: The positions of H rows are 0, 1 / H, ... times this number, and those of columns likewise. A
            model that was pre-trained on a grid of 16 x 16 patches then meets angles of the same range on every grid.
            None: the positions are 0, 1, 2, ...
        num_prefix_tokens: Number of tokens before the patches.
        device: Device of the result.
    """
    axis_dim = head_dim // 2
    frequencies = 1.0 / THETA ** (torch.arange(0, axis_dim, 2, device=device).float() / axis_dim)  # [head_dim / 4]
    rows, columns = (_positions(side, position_range, device)[:, None] * frequencies for side in grid)
    height, width = grid
    angles = torch.cat([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=-1).flatten(
        0, 1
    )
    angles = torch.cat([angles.new_zeros(num_prefix_tokens, axis_dim), angles])
    return Rotation(angles.cos(), angles.sin())


def check_rotary(head_dim: int) -> None:
    """Raise InputError unless heads of this width can be rotated by rows and columns."""
    if head_dim % 4:
        raise InputError(
            f"rotary positions do not fit heads of {head_dim} channels; choose a width and a number of heads that give "
            "a multiple of 4."
        )


def rotation_of(
    grid: Sequence[int] | None, num_tokens: int, head_dim: int, position_range: float | None, device: torch.device
) -> Rotation:
    """Return the rotation of `num_tokens` tokens, of which the last ones are the patches on `grid`.

    Raises:
        InputError: The grid is not that of an image.
    """
    if grid is None or len(grid) != 2:
        raise InputError(f"rotary positions need a grid (H, W) of patches, got {grid}; give images, not clips.")
    return grid_rotation(tuple(grid), head_dim, position_range, num_tokens - prod(grid), device)


def _positions(side: int, position_range: float | None, device: torch.device) -> torch.Tensor:
    index = torch.arange(side, device=device).float()
    # Divided first and multiplied then, as in the release: the other order rounds differently.
    return index if position_range is None else index / side * position_range
