"""Sizes and places of crops, and the resize before them."""

from collections.abc import Sequence

import cv2
import numpy as np

# Sides this close to the output's are taken for it.
_SNAP = 2


def resize_shorter_side(image: np.ndarray, size: int) -> np.ndarray:
    """[H, W, 3] uint8 with its shorter side at `size` pixels: bilinear without antialiasing, as published."""
    height, width = image.shape[:2]
    scale = size / min(height, width)
    new_height, new_width = int(height * scale + 0.5), int(width * scale + 0.5)
    if (new_height, new_width) == (height, width):
        return image
    return cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)


def crop_sizes(height: int, width: int, size: int, scales: Sequence[float]) -> list[tuple[int, int]]:
    """(width, height) in pixels of the crops that training chooses from, for an output of `size` x `size`.

    Sides are shares `scales` of the shorter side; those of a crop are equal or neighbours in `scales`.
    """
    base = min(height, width)
    sides = [int(base * scale) for scale in scales]
    sides = [size if abs(side - size) <= _SNAP and size <= base else side for side in sides]
    steps = range(len(sides))
    return [(sides[j], sides[i]) for i in steps for j in steps if abs(i - j) <= 1]


def crop_corners(height: int, width: int, crop_height: int, crop_width: int) -> list[tuple[int, int]]:
    """(x, y) of a crop's upper left pixel at the four corners of a frame and about its centre.

    Places are whole multiples of a quarter of the room, so that the far ones can be up to 3 pixels from the edge.
    """
    x, y = (width - crop_width) // 4, (height - crop_height) // 4
    return [(0, 0), (4 * x, 0), (0, 4 * y), (4 * x, 4 * y), (2 * x, 2 * y)]


def centre_crop(frames: np.ndarray, size: int) -> np.ndarray:
    """The middle `size` x `size` pixels of frames [T, H, W, 3]."""
    y, x = (frames.shape[1] - size) // 2, (frames.shape[2] - size) // 2
    return frames[:, y : y + size, x : x + size]


def three_crops(frames: np.ndarray, size: int) -> list[np.ndarray]:
    """Crops of `size` x `size` along the longer side of frames [T, H, W, 3]: first, last and middle."""
    y, x = (frames.shape[1] - size) // 2, (frames.shape[2] - size) // 2
    return [frames[:, k * y : k * y + size, k * x : k * x + size] for k in (0, 2, 1)]
