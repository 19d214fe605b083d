"""The size of an image from its header."""

from pathlib import Path

from PIL import ExifTags

from .heif import is_heif, register_heif
from .image_file import image_errors, open_image, open_regular_file

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
            return (height, width) if orientation in _TURNED and image.format != "HEIF" else (width, height)
