"""BEiT relative position: a learned logit per head and relative offset, class token included.

Two layouts exist. "joint": one table over all (dy, dx) offsets, which a block owns or all blocks share. "decoupled":
one table per axis, summed. Index tables depend on the grid alone and are computed, never stored (released segmentation
files carry gigabytes of them).
"""

import torch
from torch import nn

from .constant_cache import cached_constant
from .relative_position import RelPosResize, resize_rel_pos

NUM_CLASS_OFFSETS = 3  # class -> patch, patch -> class, class -> class


def _with_class_token(index: torch.Tensor, class_to_patch: int) -> torch.Tensor:
    """Put a row and a column for the class token in front of patch indices [N, N]."""
    num_tokens = index.shape[0] + 1
    full = index.new_empty(num_tokens, num_tokens)
    full[1:, 1:] = index
    full[0, :] = class_to_patch
    full[:, 0] = class_to_patch + 1
    full[0, 0] = class_to_patch + 2
    return full


def _offsets(grid: tuple[int, int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(query - key) row and column distances, each [N, N]."""
    rows, columns = torch.meshgrid([torch.arange(side, device=device) for side in grid], indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    return rows[:, None] - rows[None, :], columns[:, None] - columns[None, :]


def joint_table_rows(grid: tuple[int, int]) -> int:
    """Rows of the joint table for a grid (H, W): (2H - 1)(2W - 1) offsets and three for the class token."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + NUM_CLASS_OFFSETS


# Two grids: of training and of evaluation. Their indices are large, 79 MB for 56 x 56, and training in the same process
# may use those that an evaluation made.
@cached_constant(maxsize=2)
def joint_index(grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Row of the joint table for each (query, key), class token first: [1 + N, 1 + N]."""
    with torch.inference_mode(False):
        dy, dx = _offsets(grid, device)
        index = (dy + grid[0] - 1) * (2 * grid[1] - 1) + dx + grid[1] - 1
        return _with_class_token(index, joint_table_rows(grid) - NUM_CLASS_OFFSETS)


@cached_constant(maxsize=2)
def decoupled_index(grid: tuple[int, int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of the two axis tables for each (query, key), class token first; distances are (key - query) here."""
    with torch.inference_mode(False):
        dy, dx = _offsets(grid, device)
        return (
            _with_class_token(-dy + grid[0] - 1, 2 * grid[0] - 1),
            _with_class_token(-dx + grid[1] - 1, 2 * grid[1] - 1),
        )


def _look_up(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """[rows, heads] by [T, T] to [heads, T, T]."""
    return table[index].permute(2, 0, 1)


def joint_bias(table: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The logit bias [heads, 1 + N, 1 + N] of a joint table [rows, heads] made for `grid`."""
    return _look_up(table, joint_index(grid, table.device))


def _check_made_for(made_for: tuple[int, int], grid: tuple[int, ...]) -> None:
    if grid != made_for:
        raise ValueError(
            f"shared relative positions for a grid of {made_for} patches do not fit {grid}: "
            "resize their tables or feed the size they were made for"
        )


def resize_joint_table(
    table: torch.Tensor, source: tuple[int, int], grid: tuple[int, int], method: RelPosResize
) -> torch.Tensor:
    """A joint table [rows, heads] made for the grid `source`, for another one: each axis is resized on its own.

    The three rows of the class token stay as they are. Differentiable.
    """
    if source == grid:
        return table
    offsets, of_class = table[:-NUM_CLASS_OFFSETS], table[-NUM_CLASS_OFFSETS:]
    for axis, num_tokens in enumerate(grid):
        lengths = [2 * side - 1 for side in (*grid[:axis], *source[axis:])]
        maps = offsets.unflatten(0, lengths).movedim(axis, 0)
        resized = resize_rel_pos(maps.flatten(1), num_tokens, method)
        offsets = resized.unflatten(1, maps.shape[1:]).movedim(0, axis).flatten(0, 1)
    return torch.cat([offsets, of_class])


class JointRelativePositionBias(nn.Module):
    """The joint table as a module of its own, for models whose blocks share it."""

    def __init__(self, grid: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.grid = grid
        self.relative_position_bias_table = nn.Parameter(torch.zeros(joint_table_rows(grid), num_heads))

    def forward(self, grid: tuple[int, int]) -> torch.Tensor:
        """The logit bias [heads, 1 + N, 1 + N]; ValueError for another grid than the tables were made for."""
        _check_made_for(self.grid, grid)
        return joint_bias(self.relative_position_bias_table, grid)


class DecoupledRelativePositionBias(nn.Module):
    """One table per axis, summed."""

    def __init__(self, grid: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.grid = grid
        self.relative_position_bias_for_high = nn.Parameter(torch.zeros(2 * grid[0] + 2, num_heads))
        self.relative_position_bias_for_width = nn.Parameter(torch.zeros(2 * grid[1] + 2, num_heads))

    def forward(self, grid: tuple[int, int]) -> torch.Tensor:
        """The logit bias [heads, 1 + N, 1 + N]; ValueError for another grid than the tables were made for."""
        _check_made_for(self.grid, grid)
        index_h, index_w = decoupled_index(grid, self.relative_position_bias_for_high.device)
        return _look_up(self.relative_position_bias_for_high, index_h) + _look_up(
            self.relative_position_bias_for_width, index_w
        )
