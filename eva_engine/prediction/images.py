"""Pictures from files nobody vouches for."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.data.image_file import check_depth, open_image

MAX_PIXELS = 100_000_000
MAX_JPEG_SIDE = 65_500  # of libjpeg


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture the way it is displayed: EXIF orientation applied, first frame or page, transparency dropped.

    Args:
        path: a file of one of `image_file.FORMATS`, told by its content.
        max_pixels: a picture whose header announces more is refused before it is decoded.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        InputError: the file is no picture, is truncated or damaged, is too large, or has more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels decides, on the next lines
            with open_image(path) as image:
                if image.width * image.height > max_pixels:
                    size = f"{image.width}x{image.height}"
                    raise InputError(f"{path}: {size} pixels, at most {max_pixels:,} are read: make it smaller first.")
                check_depth(str(path), image)
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        reason = "its format is unknown" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"{path}: not readable as a picture ({reason}): replace the file or leave it out.") from error


def save_image(image: np.ndarray, path: str | Path) -> None:
    """Write [H, W, 3] uint8 RGB as a JPEG without colour subsampling, so that thin coloured outlines stay crisp.

    Raises:
        InputError: a side is longer than the format allows.
    """
    if max(image.shape) > MAX_JPEG_SIDE:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise InputError(f"{size} pixels, a JPEG has at most {MAX_JPEG_SIDE:,} a side: cut the picture first.")
    with atomic_path(path) as partial:
        Image.fromarray(image).save(partial, format="JPEG", quality=92, subsampling=0)
