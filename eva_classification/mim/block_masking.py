"""Which patches are hidden: rectangles until enough are covered."""

import math
import random
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch

from eva_backbone.errors import InputError

NUM_ATTEMPTS = 10


class BlockMasking:
    """Draws masks of random blocks, as EVA's pre-training and BEiT's do.

    A mask covers at most `num_masked` patches, and often a few less: blocks are added while any is missing, and it ends
    early when a block finds no place. Blocks never span a whole row or column of the grid.

    Args:
        grid: (H, W) of the patches.
        num_masked: patches to hide. Published: 105 of 16 x 16.
        min_block: smallest area a block is drawn with, in patches.
        max_block: most patches that one block may newly cover, `min_block` or more; `num_masked` unless given.
        min_aspect: least height over width of a block; 1 / `min_aspect` is the largest.

    Raises:
        InputError: numbers that no mask can meet.
    """

    def __init__(
        self,
        grid: Sequence[int] = (16, 16),
        num_masked: int = 105,
        min_block: int = 16,
        max_block: int | None = None,
        min_aspect: float = 0.3,
    ) -> None:
        self.grid = (int(grid[0]), int(grid[1]))
        if not 0 < num_masked < math.prod(self.grid):
            raise InputError(
                f"num_masked={num_masked} patches cannot be hidden in a grid of {self.grid[0]} x {self.grid[1]}; "
                "give at least 1 and fewer than there are."
            )
        max_block = num_masked if max_block is None else max_block
        largest = min(num_masked, max_block, (self.grid[0] - 1) * (self.grid[1] - 1))
        if not 0 < min_block <= largest or not 0 < min_aspect <= 1:
            raise InputError(
                f"min_block={min_block}, min_aspect={min_aspect} are out of range; with num_masked={num_masked}, "
                f"max_block={max_block} give a block of 1 to {largest} patches and an aspect above 0 and at most 1."
            )
        self.num_masked = num_masked
        self.min_block = min_block
        self.max_block = max_block
        self.log_aspects = (math.log(min_aspect), math.log(1 / min_aspect))

    def draw(self, rng: random.Random | None = None) -> np.ndarray:
        """A mask [H, W], True where a patch is hidden; from `rng` or else from Python's global generator."""
        source = rng or random
        mask = np.zeros(self.grid, dtype=bool)
        missing = self.num_masked
        while missing > 0:
            covered = self._add_block(mask, min(missing, self.max_block), source)
            if covered == 0:
                break
            missing -= covered
        return mask

    def draw_batch(self, size: int) -> torch.Tensor:
        """Masks [size, H * W] from Python's global generator."""
        return torch.from_numpy(np.stack([self.draw() for _ in range(size)])).flatten(1)

    def _add_block(self, mask: np.ndarray, budget: int, rng: random.Random | ModuleType) -> int:
        """Cover a random block of `mask`; returns how many patches it newly covers, 0 if none was found."""
        for _ in range(NUM_ATTEMPTS):
            # A budget below the smallest block reverses the bounds, which `uniform` takes: the area may exceed it.
            area = rng.uniform(self.min_block, budget)
            aspect = math.exp(rng.uniform(*self.log_aspects))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height >= self.grid[0] or width >= self.grid[1]:
                continue
            top = rng.randint(0, self.grid[0] - height)
            left = rng.randint(0, self.grid[1] - width)
            block = mask[top : top + height, left : left + width]
            covered = block.size - int(block.sum())
            if 0 < covered <= budget:
                block[...] = True
                return covered
        return 0


def alternating_mask(num_patches: int) -> torch.Tensor:
    """The fixed mask of validation, [num_patches]: every second patch, beginning with the first."""
    return torch.arange(num_patches) % 2 == 0
