"""Save images."""

from pathlib import Path

import numpy as np
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path

MAX_JPEG_SIDE = 65_500  # limit of libjpeg


def save_image(image: np.ndarray, path: str | Path) -> None:
    """Save [H, W, 3] uint8 RGB as a JPEG without chroma subsampling, which would blur thin colored outlines.

    Raises:
        InputError: A side is longer than a JPEG can have.
    """
    if max(image.shape) > MAX_JPEG_SIDE:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise InputError(f"{size} pixels, but a JPEG has at most {MAX_JPEG_SIDE:,} per side; crop the image first.")
    with atomic_path(path) as partial:
        Image.fromarray(image).save(partial, format="JPEG", quality=92, subsampling=0)
