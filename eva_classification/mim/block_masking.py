"""Block-wise masks: random rectangles until enough patches are masked."""

import math
import random
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch

from eva_backbone.errors import InputError

NUM_ATTEMPTS = 10


class BlockMasking:
    """Draw masks of random blocks, as the pre-training of EVA and BEiT does.

    A mask covers at most `num_masked` patches and often a few less: blocks are added until the number is reached or no
    further block fits. Blocks never span a full row or column of the grid.

    Args:
        grid: Number of patches (H, W).
        num_masked: Number of patches to mask; 105 of 16 x 16 in the published pre-training.
        min_block: Minimum area of a block in patches.
        max_block: Maximum number of patches that one block may newly mask, at least `min_block`; by default
            `num_masked`.
        min_aspect: Minimum aspect ratio (height / width) of a block; the maximum is its inverse.

    Raises:
        InputError: No mask satisfies these numbers.
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
                "mask at least one patch and leave at least one visible."
            )
        max_block = num_masked if max_block is None else max_block
        largest = min(num_masked, max_block, (self.grid[0] - 1) * (self.grid[1] - 1))
        if not 0 < min_block <= largest or not 0 < min_aspect <= 1:
            raise InputError(
                f"min_block={min_block} or min_aspect={min_aspect} is out of range; with num_masked={num_masked} and "
                f"max_block={max_block}, min_block must be 1 to {largest} and min_aspect above 0 and at most 1."
            )
        self.num_masked = num_masked
        self.min_block = min_block
        self.max_block = max_block
        self.log_aspects = (math.log(min_aspect), math.log(1 / min_aspect))

    def draw(self, rng: random.Random | None = None) -> np.ndarray:
        """Draw a mask [H, W], True for masked patches, with `rng` or else Python's global generator."""
        generator = rng or random
        mask = np.zeros(self.grid, dtype=bool)
        remaining = self.num_masked
        while remaining > 0:
            newly_masked = self._add_block(mask, min(remaining, self.max_block), generator)
            if newly_masked == 0:
                break
            remaining -= newly_masked
        return mask

    def draw_batch(self, size: int) -> torch.Tensor:
        """Draw masks [size, H * W] with Python's global generator."""
        return torch.from_numpy(np.stack([self.draw() for _ in range(size)])).flatten(1)

    def _add_block(self, mask: np.ndarray, budget: int, rng: random.Random | ModuleType) -> int:
        """Mask a random block in place; return the number of newly masked patches, 0 if no block fitted."""
        for _ in range(NUM_ATTEMPTS):
            # When the budget is smaller than min_block, the bounds are reversed, which `uniform` accepts. The published
            # pre-training does the same: the area may exceed the budget, the newly masked patches never do.
            area = rng.uniform(self.min_block, budget)
            # Uniform in the logarithm, so that tall and wide blocks are equally likely. The two sides follow from the
            # area, height * width, and the aspect ratio, height / width.
            aspect = math.exp(rng.uniform(*self.log_aspects))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height >= self.grid[0] or width >= self.grid[1]:
                continue
            top = rng.randint(0, self.grid[0] - height)
            left = rng.randint(0, self.grid[1] - width)
            block = mask[top : top + height, left : left + width]
            # A block may overlap earlier ones; only the patches that it adds count.
            newly_masked = block.size - int(block.sum())
            if 0 < newly_masked <= budget:
                block[...] = True
                return newly_masked
        return 0


def alternating_mask(num_patches: int) -> torch.Tensor:
    """Return the fixed mask of validation, bool [num_patches]: every second patch, starting with the first."""
    return torch.arange(num_patches) % 2 == 0
