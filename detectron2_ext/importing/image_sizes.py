"""Sizes of images from their headers, for annotations that lack them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import ExifTags

from eva_backbone.errors import InputError
from eva_engine.data.heif import is_heif, register_heif
from eva_engine.data.image_file import image_errors, open_image, open_regular_file

from .findings import Findings

_TURNED = (5, 6, 7, 8)  # orientations that exchange width and height


def read_size(path: str | Path) -> tuple[int, int]:
    """Return (width, height) of an image in pixels, turned as its orientation tag says; pixels are not decoded.

    Raises:
        InputError: The file is not a readable image.
    """
    name = str(path)
    with image_errors(name), open_regular_file(path) as file:
        if is_heif(file.read(64)):
            register_heif(name)
        file.seek(0)
        with open_image(file) as image:
            width, height = image.size
            try:
                orientation = image.getexif().get(ExifTags.Base.Orientation)
            except Exception:  # reading damaged tags raises nearly any exception; they are ignored in training, too
                orientation = None
            # Pillow turns HEIC files when it opens them.
            if orientation in _TURNED and image.format != "HEIF":
                return height, width
            return width, height


def read_sizes(root: Path, paths: Sequence[str], findings: Findings) -> dict[str, tuple[int, int]]:
    """Return (width, height) of the images `paths` below `root`, without those that `findings` gets as bad files."""

    def read(path: str) -> tuple[int, int] | InputError:
        try:
            return read_size(root / path)
        except InputError as error:
            return error

    sizes = {}
    with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        for path, size in zip(paths, pool.map(read, paths, chunksize=64), strict=True):
            if isinstance(size, InputError):
                findings.refuse(path, size)
            else:
                sizes[path] = size
    return sizes
