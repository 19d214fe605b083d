"""Crop sizes and positions, and the resizing before them."""

from collections.abc import Sequence

import cv2
import numpy as np

# A crop side within this many pixels of the output size is set to the output size.
_SNAP_DISTANCE = 2


def resize_shorter_side(image: np.ndarray, size: int) -> np.ndarray:
    """Resize [H, W, 3] uint8 to a shorter side of `size` pixels: bilinear without antialiasing, as published."""
    height, width = image.shape[:2]
    scale = size / min(height, width)
    new_height, new_width = int(height * scale + 0.5), int(width * scale + 0.5)
    if (new_height, new_width) == (height, width):
        return image
    return cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)


def crop_sizes(height: int, width: int, size: int, scales: Sequence[float]) -> list[tuple[int, int]]:
    """Return the sizes (width, height), in pixels, of the crops from which training draws.

    Args:
        height, width: Of the frames, pixels.
        size: Side of the output, to which crops are resized.
        scales: Sides of the crops as fractions of the shorter side of the frames. The two sides of a crop have the same
            scale or adjacent ones, which limits the change of the aspect ratio.
    """
    shorter_side = min(height, width)
    sides = []
    for scale in scales:
        side = int(shorter_side * scale)
        if abs(side - size) <= _SNAP_DISTANCE and size <= shorter_side:
            side = size  # spares a resize by a few pixels
        sides.append(side)
    sizes = []
    for i, crop_height in enumerate(sides):
        for j, crop_width in enumerate(sides):
            if abs(i - j) <= 1:
                sizes.append((crop_width, crop_height))
    return sizes


def crop_corners(height: int, width: int, crop_height: int, crop_width: int) -> list[tuple[int, int]]:
    """Return (x, y) of the upper left pixel of a crop in each corner of a frame and near its centre.

    As published, positions are multiples of a quarter of the margin, rounded down, so that the crops at the far edges
    can end up to 3 pixels before the edge.
    """
    x, y = (width - crop_width) // 4, (height - crop_height) // 4
    return [(0, 0), (4 * x, 0), (0, 4 * y), (4 * x, 4 * y), (2 * x, 2 * y)]


def centre_crop(frames: np.ndarray, size: int) -> np.ndarray:
    """Return the central `size` x `size` pixels of frames [T, H, W, 3]."""
    y, x = (frames.shape[1] - size) // 2, (frames.shape[2] - size) // 2
    return frames[:, y : y + size, x : x + size]


def three_crops(frames: np.ndarray, size: int) -> list[np.ndarray]:
    """Return crops of `size` x `size` along the longer side of frames [T, H, W, 3]: first, last and middle.

    The shorter side of the frames must be `size`.
    """
    half_y, half_x = (frames.shape[1] - size) // 2, (frames.shape[2] - size) // 2
    crops = []
    for step in (0, 2, 1):
        y, x = step * half_y, step * half_x
        crops.append(frames[:, y : y + size, x : x + size])
    return crops
