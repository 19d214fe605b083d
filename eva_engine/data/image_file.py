"""Read images of datasets, and report every problem as one sentence."""

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from eva_backbone.errors import InputError

# Pillow detects the format from the content. Without this list it would also try formats that start other programs
# (EPS) or that accept nearly any content.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
_EXIF_ORIENTATION = 274
_TURNED_BY_90 = (5, 6, 7, 8)
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # when Pillow converts these, it clips them to nearly white


def read_dataset_image(file_name: str, image_format: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image of a dataset, rotated according to its EXIF tag.

    Args:
        file_name: Image file.
        image_format: Channel order: "RGB", "BGR", or another of Detectron2's image formats.
        size: Expected (width, height) in pixels, which is compared with the header before any pixel is decoded.

    Returns:
        [H, W, C] uint8.

    Raises:
        InputError: The file does not exist, is not a regular file or not an image, is truncated, is larger than
            Pillow's limit against decompression bombs, has more than 8 bits per channel, or has another size.
    """
    from detectron2.data import detection_utils  # imported here, because the other functions do not need Detectron2
    from detectron2.utils.file_io import PathManager

    path = PathManager.get_local_path(file_name)
    with image_errors(file_name):
        # Reading from a pipe or a device could block or never end.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise InputError(f"{file_name}: not a regular file; give an image file.")
        with open_image(path) as header:
            _check_size(file_name, header, size)
            check_depth(file_name, header)
        # Detectron2 opens the file again with all formats. This is safe, since no allowed format can be taken for EPS.
        return detection_utils.read_image(path, format=image_format)


def open_image(source: str | Path | IO[bytes]) -> Image.Image:
    """Open an image of one of `FORMATS` without decoding it; problems raise Pillow's exceptions."""
    return Image.open(source, formats=FORMATS)


def check_depth(file_name: str, header: Image.Image) -> None:
    """Raise InputError if an image has more than 8 bits per channel."""
    if header.mode in _WIDE_MODES:
        raise InputError(
            f"{file_name}: more than 8 bits per channel ({header.mode}), so black and white levels are unknown; "
            "convert the image to 8 bits first."
        )


@contextmanager
def image_errors(file_name: str, kind: str = "image") -> Iterator[None]:
    """Turn any error while reading a file in the block into an InputError of one sentence.

    Args:
        file_name: File that is read.
        kind: Noun for the kind of file in messages.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns above its limit and raises above twice the limit; images in between can be used.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except (InputError, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{file_name}: no such {kind} file; check the {kind} folder.") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(f"{file_name}: more than {limit} pixels; give a smaller {kind}.") from error
    except Exception as error:  # damaged files make decoders raise nearly any exception
        raise InputError(
            f"{file_name}: not a readable {kind} file ({type(error).__name__}: {error}); replace or remove the file."
        ) from error


def _check_size(file_name: str, header: Image.Image, size: tuple[int, int] | None) -> None:
    if size is None:
        return
    width, height = header.size
    try:
        orientation = header.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # a damaged tag is ignored, as in Detectron2's reader
        orientation = None
    if orientation in _TURNED_BY_90:
        width, height = height, width
    if (width, height) != size:
        raise InputError(
            f"{file_name}: the image has {width}x{height} pixels, but its annotation says {size[0]}x{size[1]}; "
            f"correct 'width' and 'height', or use the image that was annotated."
        )
