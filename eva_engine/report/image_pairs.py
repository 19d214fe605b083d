"""Pairs of images that show ground truth and prediction side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImagePair:
    """Ground truth and prediction of one sample, drawn as images [H, W, 3] uint8.

    Attributes:
        caption: Line of text below the images.
        ground_truth: Image with the ground truth.
        prediction: Image with the prediction.
        wide: Whether the pair takes the full width of the page.
    """

    caption: str
    ground_truth: np.ndarray
    prediction: np.ndarray
    wide: bool = False


def image_grid(images: Sequence[np.ndarray], columns: int, gap: int = 2) -> np.ndarray:
    """Arrange images of equal size in a grid, row by row.

    Args:
        images: Images [H, W, 3] uint8.
        columns: Number of images per row.
        gap: Number of white pixels between images.

    Returns:
        The grid as one image [H, W, 3] uint8.
    """
    height, width, _ = images[0].shape
    rows = -(-len(images) // columns)  # rounded up
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid
