"""Weights of image models, shorter clips and larger sets of classes, brought to a video model.

As the published recipes do it: an image model is inflated by repeating its patch kernel and positions along time; a
video model gets its positions resized trilinearly and only the rows of its head that the new classes have.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eva_backbone.errors import InputError
from eva_backbone.position import resize_pos_embed, square_grid

Grid = tuple[int, int, int]  # frames, rows and columns of patches

PATCH, POSITIONS, HEAD = "patch_embed.proj.weight", "pos_embed", ("head.weight", "head.bias")


@dataclass(frozen=True)
class VideoStateDictAdapter:
    """What a weight file does not say about the video model that it is of. All of it may be left out.

    Args:
        num_frames, img_size: length of its clips, and their side in pixels. Without them the positions are taken for
            those of frames as large as this model's, or else of as many frames.
        num_classes, head_rows: of files of so many classes these rows of the head are taken, in this order, for the
            classes of this model. The head of any other file starts fresh unless it has the model's size.
    """

    num_frames: int | None = None
    img_size: int | None = None
    num_classes: int | None = None
    head_rows: Sequence[int] | None = None

    def adapt(self, weights: Mapping[str, Tensor], model: Mapping[str, Tensor], grid: Grid) -> dict[str, Tensor]:
        """Values of `weights` that change on the way to entries of `model`, whose positions are laid out on `grid`.

        A file whose entries all have the model's shapes is left as it is.

        Raises:
            InputError: a position table whose frames and rows cannot be told, or that is not what was said of it.
        """
        watched = [name for name in (PATCH, POSITIONS, *HEAD) if name in weights and name in model]
        if all(weights[name].shape == model[name].shape for name in watched):
            return {}
        adapted = {}
        is_image_model = PATCH in weights and weights[PATCH].ndim == 4
        if is_image_model:
            adapted[PATCH] = inflate_patch_kernel(weights[PATCH], model[PATCH].shape[2])
        if POSITIONS in watched:
            table = weights[POSITIONS]
            if is_image_model:
                adapted[POSITIONS] = repeat_positions(table, grid)
            else:
                source = self._source_grid(table.shape[1] - 1, grid, model[PATCH].shape[2:])
                if source != grid:
                    adapted[POSITIONS] = resize_pos_embed(table, grid, source_grid=source)
        if self.head_rows is not None:
            rows = torch.as_tensor(list(self.head_rows))
            adapted |= {name: weights[name][rows] for name in HEAD if self._has_wanted_head(weights, model, name)}
        return {name: value for name, value in adapted.items() if value.shape == model[name].shape}

    def _has_wanted_head(self, weights: Mapping[str, Tensor], model: Mapping[str, Tensor], name: str) -> bool:
        rows = len(weights[name]) if name in weights else None
        return rows == self.num_classes and name in model and rows != len(model[name])

    def _source_grid(self, num_positions: int, grid: Grid, patch: Sequence[int]) -> Grid:
        """Layout of a video model's positions: as it was said, else with the side of `grid`, else with its frames."""
        frames = None if self.num_frames is None else self.num_frames // patch[0]
        side = None if self.img_size is None else self.img_size // patch[1]
        if side is not None:
            sides = [side]
        elif frames is not None:
            sides = _side(num_positions, frames)
        else:
            sides = [grid[1], *_side(num_positions, grid[0])]
        for candidate in sides:
            length, rest = divmod(num_positions, candidate**2)
            if rest == 0 and length and frames in (None, length):
                return (length, candidate, candidate)
        raise InputError(
            f"a position table of {num_positions} patches is not one of "
            + (f"{frames} steps in time" if frames else f"pictures {side or grid[1]} patches wide")
            + ", the model's own or as model.starting says: give the num_frames and img_size that the file was trained "
            "with in model.starting."
        )


def inflate_patch_kernel(kernel: Tensor, tubelet_size: int) -> Tensor:
    """A kernel for images [C, 3, h, w] as one for `tubelet_size` frames [C, 3, tubelet_size, h, w].

    Equal frames give what the image gave: each frame has the same share of the kernel.
    """
    kernel = kernel[:, :, None]
    return kernel if tubelet_size == 1 else kernel.expand(-1, -1, tubelet_size, -1, -1).float() / tubelet_size


def repeat_positions(table: Tensor, grid: Grid) -> Tensor:
    """A table of images [1, 1 + N, C], resized to the rows and columns of `grid` and repeated for each of its frames.

    Raises:
        InputError: N is no square number.
    """
    try:
        square_grid(table.shape[1] - 1)
    except ValueError as error:
        raise InputError(f"{error}; only square images can be turned into clips.") from error
    table = resize_pos_embed(table, grid[1:])
    return torch.cat([table[:, :1], table[:, 1:].repeat(1, grid[0], 1)], dim=1)


def _side(num_positions: int, frames: int | None) -> list[int]:
    """The side of `frames` equal squares that make up `num_positions`, if there is one."""
    if not frames or num_positions % frames:
        return []
    side = math.isqrt(num_positions // frames)
    return [side] if side * side * frames == num_positions else []
