"""Ground truth and predictions drawn side by side, from a COCO JSON and the results file of an evaluator."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImagePair:
    """Two pictures [H, W, 3] uint8 of one image, and a line of text; ``wide`` pairs get the full width of a page."""

    caption: str
    ground_truth: np.ndarray
    prediction: np.ndarray
    wide: bool = False


def mosaic(pictures: Sequence[np.ndarray], columns: int, gap: int = 2) -> np.ndarray:
    """Pictures of equal size [H, W, 3] in rows of ``columns``, ``gap`` white pixels between them."""
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = picture
    return canvas
