"""Load images from untrusted files, and save images."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_write
from eva_engine.data.image_file import check_depth, open_image

MAX_PIXELS = 100_000_000
MAX_JPEG_SIDE = 65_500  # limit of libjpeg


def read_rgb_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image as it is displayed: rotated by its EXIF tag, first frame or page, without transparency.

    Args:
        path: File of one of `image_file.FORMATS`, which is detected from its content.
        max_pixels: Limit on the number of pixels in the header, which is checked before decoding.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        InputError: The file is not an image, is truncated, damaged or too large, or has more than 8 bits per channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels replaces Pillow's limit
            with open_image(path) as image:
                if image.width * image.height > max_pixels:
                    size = f"{image.width}x{image.height}"
                    raise InputError(f"{path}: {size} pixels, but at most {max_pixels:,} are allowed; resize it first.")
                check_depth(str(path), image)
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # damaged files make Pillow's decoders raise nearly any exception
        reason = "its format is unknown" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"{path}: not a readable image ({reason}); replace the file or leave it out.") from error


def save_image(image: np.ndarray, path: str | Path) -> None:
    """Save [H, W, 3] uint8 RGB as a JPEG without chroma subsampling, which would blur thin colored outlines.

    Raises:
        InputError: A side is longer than a JPEG can have.
    """
    if max(image.shape) > MAX_JPEG_SIDE:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise InputError(f"{size} pixels, but a JPEG has at most {MAX_JPEG_SIDE:,} per side; crop the image first.")
    write_image(Image.fromarray(image), path, format="JPEG", quality=92, subsampling=0)


def write_image(image: Image.Image, path: str | Path, **options: Any) -> None:
    """Write an image file that appears complete or not at all; the options are those of Pillow's `save`.

    The file is encoded in memory, because Pillow does not notice if a full disk takes only a part of it.
    """
    content = io.BytesIO()
    image.save(content, **options)
    with atomic_write(path) as file:
        file.write(content.getbuffer())
