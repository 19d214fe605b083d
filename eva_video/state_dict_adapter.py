"""Adapt weights of image models, of other clips and of larger sets of classes to a video model.

This follows the published recipes. An image model is inflated: its patch kernel and its positions are repeated in time.
The positions of a video model are resized trilinearly, and its head is reduced to the rows of the new classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eva_backbone.errors import InputError
from eva_backbone.position import resize_pos_embed, square_grid

Grid = tuple[int, int, int]  # steps in time, rows and columns of patches

PATCH, POSITIONS, HEAD = "patch_embed.proj.weight", "pos_embed", ("head.weight", "head.bias")


@dataclass(frozen=True)
class VideoStateDictAdapter:
    """Adapt the state dict of another model; the arguments give what the shapes of its entries do not determine.

    Args:
        num_frames, img_size: Length of its clips, and their side in pixels. A position table only has the total number
            of patches. If neither is given, its frames are assumed to have the size of this model's, or else its clips
            to have as many frames.
        num_classes, head_rows: A file with a head of `num_classes` gives these rows of it, in this order, to the
            classes of this model. The head of any other file is initialised randomly unless the sizes are equal.
    """

    num_frames: int | None = None
    img_size: int | None = None
    num_classes: int | None = None
    head_rows: Sequence[int] | None = None

    def adapt(self, weights: Mapping[str, Tensor], model: Mapping[str, Tensor], grid: Grid) -> dict[str, Tensor]:
        """Return new values for the entries of `weights` that have to change.

        A file whose patch kernel, positions and head have the model's shapes is not changed, so that a run can always
        load its own checkpoints.

        Args:
            weights: State dict of the file.
            model: State dict of the model; only its shapes are used.
            grid: Grid of the model's positions.

        Raises:
            InputError: The grid of the position table cannot be determined, or contradicts `num_frames` or `img_size`.
        """
        common = [name for name in (PATCH, POSITIONS, *HEAD) if name in weights and name in model]
        if all(weights[name].shape == model[name].shape for name in common):
            return {}
        adapted = {}
        is_image_model = PATCH in weights and weights[PATCH].ndim == 4
        if is_image_model:
            adapted[PATCH] = inflate_patch_kernel(weights[PATCH], model[PATCH].shape[2])
        if POSITIONS in common:
            table = weights[POSITIONS]
            if table.ndim != 3 or table.shape[0] != 1 or table.shape[1] < 2 or not table.is_floating_point():
                pass  # not a table of positions
            elif is_image_model:
                adapted[POSITIONS] = repeat_positions(table, grid)
            else:
                num_positions = table.shape[1] - 1  # without that of the class token
                source = self._source_grid(num_positions, grid, model[PATCH].shape[2:])
                if source != grid:
                    adapted[POSITIONS] = resize_pos_embed(table, grid, source_grid=source)
        if self.head_rows is not None:
            rows = torch.as_tensor(list(self.head_rows))
            for name in HEAD:
                if self._is_reducible_head(weights, model, name):
                    adapted[name] = weights[name][rows]
        return {name: value for name, value in adapted.items() if value.shape == model[name].shape}

    def _is_reducible_head(self, weights: Mapping[str, Tensor], model: Mapping[str, Tensor], name: str) -> bool:
        if name not in weights or name not in model or not weights[name].ndim:
            return False
        num_rows = len(weights[name])
        return num_rows == self.num_classes and num_rows != len(model[name])

    def _source_grid(self, num_positions: int, grid: Grid, patch: Sequence[int]) -> Grid:
        """Determine the grid of a position table.

        The table fixes only the number of patches. The grid is found from `img_size` or `num_frames` if given; else it
        is assumed to have the side of the model's `grid`, or else as many steps in time.
        """
        num_steps = None if self.num_frames is None else self.num_frames // patch[0]
        side = None if self.img_size is None else self.img_size // patch[1]
        if side is not None:
            candidates = [side]
        elif num_steps is not None:
            candidates = _square_side(num_positions, num_steps)
        else:
            candidates = [grid[1], *_square_side(num_positions, grid[0])]
        for candidate in candidates:
            length, remainder = divmod(num_positions, candidate**2)
            if remainder == 0 and length > 0 and num_steps in (None, length):
                return (length, candidate, candidate)
        expected = f"{num_steps} steps in time" if num_steps else f"frames of {side or grid[1]} patches a side"
        raise InputError(
            f"a position table of {num_positions} patches does not fit {expected}, as in the model or in "
            "model.state_dict_adapter: set num_frames and img_size of model.state_dict_adapter to those that the file "
            "was trained with."
        )


def inflate_patch_kernel(kernel: Tensor, tubelet_size: int) -> Tensor:
    """Inflate an image kernel [C, 3, h, w] to one for tubelets, [C, 3, tubelet_size, h, w].

    The kernel is repeated in time and divided by the number of frames, so that a tubelet of equal frames gives the same
    token as the image. The division is done in float32.
    """
    kernel = kernel[:, :, None]
    if tubelet_size == 1:
        return kernel
    return kernel.expand(-1, -1, tubelet_size, -1, -1).float() / tubelet_size


def repeat_positions(table: Tensor, grid: Grid) -> Tensor:
    """Resize the position table of an image model to the rows and columns of `grid`, and repeat it for each time step.

    Args:
        table: [1, 1 + N, C], class token first.
        grid: Steps in time, rows and columns.

    Returns:
        [1, 1 + steps * rows * columns, C].

    Raises:
        InputError: N is not a square number.
    """
    try:
        square_grid(table.shape[1] - 1)
    except ValueError as error:
        raise InputError(f"{error}; only models of square images can be inflated.") from error
    table = resize_pos_embed(table, grid[1:])
    return torch.cat([table[:, :1], table[:, 1:].repeat(1, grid[0], 1)], dim=1)


def _square_side(num_positions: int, num_steps: int) -> list[int]:
    """Return the side of `num_steps` equal squares with `num_positions` patches together; empty if there is none."""
    if num_steps == 0 or num_positions % num_steps:
        return []
    side = math.isqrt(num_positions // num_steps)
    return [side] if side * side * num_steps == num_positions else []
