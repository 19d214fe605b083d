"""BEiT's relative position: one learned logit per head and relative offset, including the class token.

There are two layouts. "joint" is one table over all (dy, dx) offsets, owned by a block or shared by all blocks.
"decoupled" is one table per axis, whose entries are summed. Index tables depend on the grid alone, so they are computed
and never stored in the state dict (in released segmentation checkpoints they take gigabytes).
"""

import torch
from torch import nn

from .constant_cache import cached_constant
from .errors import InputError
from .relative_position import RelPosResize, resize_rel_pos

NUM_CLASS_OFFSETS = 3  # class -> patch, patch -> class, class -> class


def _with_class_token(index: torch.Tensor, class_to_patch: int) -> torch.Tensor:
    """Prepend a row and a column for the class token to patch indices [N, N].

    The class token has no position in the grid, so its logits with the patches cannot depend on an offset: three table
    rows, from `class_to_patch` on, serve class -> patch, patch -> class and class -> class.
    """
    num_tokens = index.shape[0] + 1
    full = index.new_empty(num_tokens, num_tokens)
    full[1:, 1:] = index
    full[0, :] = class_to_patch
    full[:, 0] = class_to_patch + 1
    full[0, 0] = class_to_patch + 2
    return full


def _offsets(grid: tuple[int, int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row and the column distances (query - key) of the patches in row-major order, each [N, N]."""
    rows, columns = torch.meshgrid([torch.arange(side, device=device) for side in grid], indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    return rows[:, None] - rows[None, :], columns[:, None] - columns[None, :]


def joint_table_rows(grid: tuple[int, int]) -> int:
    """Return the rows of a joint table for a grid (H, W): (2H - 1)(2W - 1) offsets and 3 for the class token."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + NUM_CLASS_OFFSETS


# Two entries serve training and evaluation on different grids; more would keep too much memory (79 MB for 56 x 56). An
# index made in inference mode could not be used by a training step later, so that mode is switched off.
@cached_constant(maxsize=2)
def joint_index(grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return the row of the joint table for each (query, key), class token first, [1 + N, 1 + N]."""
    with torch.inference_mode(False):
        dy, dx = _offsets(grid, device)
        # Shifted to start at 0, the offsets are the row-major index into a (2H - 1) x (2W - 1) table.
        index = (dy + grid[0] - 1) * (2 * grid[1] - 1) + dx + grid[1] - 1
        return _with_class_token(index, joint_table_rows(grid) - NUM_CLASS_OFFSETS)


@cached_constant(maxsize=2)
def decoupled_index(grid: tuple[int, int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of the two axis tables for each (query, key), class token first, each [1 + N, 1 + N]."""
    with torch.inference_mode(False):
        dy, dx = _offsets(grid, device)
        # Released decoupled tables are indexed by (key - query), joint ones by (query - key): hence the signs.
        return (
            _with_class_token(-dy + grid[0] - 1, 2 * grid[0] - 1),
            _with_class_token(-dx + grid[1] - 1, 2 * grid[1] - 1),
        )


def _look_up(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Look up a table [rows, heads] by an index [T, T]: [heads, T, T]."""
    return table[index].permute(2, 0, 1)


def joint_bias(table: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Return the bias of the logits, [heads, 1 + N, 1 + N], from a joint table [rows, heads] for `grid`."""
    return _look_up(table, joint_index(grid, table.device))


def _check_made_for(made_for: tuple[int, int], grid: tuple[int, ...]) -> None:
    if grid != made_for:
        raise InputError(
            f"relative position tables for a grid of {made_for} patches do not fit {grid}; "
            "use the image size for which they were created, or build the model with img_size of this one."
        )


def resize_joint_table(
    table: torch.Tensor, source: tuple[int, int], grid: tuple[int, int], method: RelPosResize
) -> torch.Tensor:
    """Resize a joint table [rows, heads] from the grid `source` to `grid`, one axis after the other, differentiably.

    The class token's rows are kept: they belong to no offset, so there is nothing to interpolate between.
    """
    if source == grid:
        return table
    offsets, class_rows = table[:-NUM_CLASS_OFFSETS], table[-NUM_CLASS_OFFSETS:]
    for axis, num_tokens in enumerate(grid):
        current = (*grid[:axis], *source[axis:])  # axes before this one are resized already
        maps = offsets.unflatten(0, [2 * side - 1 for side in current]).movedim(axis, 0)
        resized = resize_rel_pos(maps.flatten(1), num_tokens, method)
        offsets = resized.unflatten(1, maps.shape[1:]).movedim(0, axis).flatten(0, 1)
    return torch.cat([offsets, class_rows])


class JointRelativePositionBias(nn.Module):
    """A joint table as a module, for models whose blocks share it."""

    float32_parts = ("relative_position_bias_table",)

    def __init__(self, grid: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.grid = grid
        self.relative_position_bias_table = nn.Parameter(torch.zeros(joint_table_rows(grid), num_heads))

    def forward(self, grid: tuple[int, int]) -> torch.Tensor:
        """Return the bias of the logits, [heads, 1 + N, 1 + N]; another grid than the table's raises InputError."""
        _check_made_for(self.grid, grid)
        return joint_bias(self.relative_position_bias_table, grid)


class DecoupledRelativePositionBias(nn.Module):
    """One table per axis, whose logits are summed."""

    float32_parts = ("relative_position_bias_for_high", "relative_position_bias_for_width")

    def __init__(self, grid: tuple[int, int], num_heads: int) -> None:
        super().__init__()
        self.grid = grid
        # 2 n - 1 distances and three class token rows; "high" is BEiT's parameter name for the height
        self.relative_position_bias_for_high = nn.Parameter(torch.zeros(2 * grid[0] + 2, num_heads))
        self.relative_position_bias_for_width = nn.Parameter(torch.zeros(2 * grid[1] + 2, num_heads))

    def forward(self, grid: tuple[int, int]) -> torch.Tensor:
        """Return the bias of the logits, [heads, 1 + N, 1 + N]; another grid than the table's raises InputError."""
        _check_made_for(self.grid, grid)
        index_h, index_w = decoupled_index(grid, self.relative_position_bias_for_high.device)
        bias_h = _look_up(self.relative_position_bias_for_high, index_h)
        bias_w = _look_up(self.relative_position_bias_for_width, index_w)
        return bias_h + bias_w
