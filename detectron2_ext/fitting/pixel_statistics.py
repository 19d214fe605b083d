"""Mean and standard deviation of the pixels of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.data.image_file import read_image

_MAX_IMAGES = 100
_MAX_SIDE = 256  # larger images are shrunk: statistics of all pixels would take as long as an epoch
_MIN_STD = 1.0  # of constant images


@dataclass(frozen=True)
class PixelStatistics:
    """Values in 0..255 per channel, and the number of images that they were measured in."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_images: int


def pixel_statistics(records: Sequence[dict], channel_order: str = "RGB") -> PixelStatistics:
    """Measure up to 100 images, which are spread evenly over the data; unreadable ones are left out.

    Args:
        records: Detectron2 dataset dicts.
        channel_order: "RGB" or "BGR", that of the result.

    Raises:
        InputError: Not one of these images can be read.
    """
    chosen = [records[row] for row in np.linspace(0, len(records) - 1, min(len(records), _MAX_IMAGES)).astype(int)]
    num_pixels, sums, squares, num_images = 0, np.zeros(3), np.zeros(3), 0
    problem: InputError | None = None
    for record in chosen:
        try:
            image = read_image(record["file_name"])
        except InputError as error:  # training stops at it or leaves it out, as its mapper says
            problem = error
            continue
        image.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.BOX)
        pixels = np.asarray(image, dtype=float).reshape(-1, 3)
        num_pixels += len(pixels)
        sums += pixels.sum(axis=0)
        squares += (pixels**2).sum(axis=0)
        num_images += 1
    if problem is not None and not num_images:
        raise problem
    mean = sums / num_pixels
    std = np.sqrt(np.maximum(squares / num_pixels - mean**2, _MIN_STD**2))
    if channel_order == "BGR":
        mean, std = mean[::-1], std[::-1]
    return PixelStatistics(tuple(mean.round(1).tolist()), tuple(std.round(1).tolist()), num_images)
