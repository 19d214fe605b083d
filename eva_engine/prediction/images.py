"""Save images."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_write

MAX_JPEG_SIDE = 65_500  # limit of libjpeg
SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def save_image(image: np.ndarray, path: str | Path) -> None:
    """Save an image in the format of the file's suffix, one of `SUFFIXES`.

    JPEGs are written without chroma subsampling, which would blur thin coloured outlines.

    Args:
        image: [H, W, 3] uint8 RGB.
        path: The file; it appears complete or not at all.

    Raises:
        InputError: A side is longer than a JPEG can have.
    """
    image_format = SUFFIXES[Path(path).suffix.lower()]
    if image_format != "JPEG":
        write_image(Image.fromarray(image), path, format=image_format)
        return
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
