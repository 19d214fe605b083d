"""Reading one image of a data set; whatever is wrong with it becomes one sentence."""

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from eva_backbone.errors import InputError

# Named, because Pillow goes by the content and would otherwise also try formats that start other programs (EPS) or are
# read far too leniently.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
_EXIF_ORIENTATION = 274
_TURNED_BY_90 = (5, 6, 7, 8)
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow clips these to nearly white when it converts


def read_image(file_name: str, image_format: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """The image as [H, W, C] uint8, turned as its EXIF tag says.

    Args:
        image_format: ``"RGB"``, ``"BGR"``, or another of Detectron2's image formats.
        size: expected (width, height) in pixels; compared with the header before any pixel is decoded.

    Raises:
        InputError: no such file, not a regular file, not an image, truncated, larger than Pillow's limit against
            decompression bombs, of more than 8 bits a channel, or of another size.
    """
    from detectron2.data import detection_utils  # imported here: the checks of this file serve without Detectron2
    from detectron2.utils.file_io import PathManager

    path = PathManager.get_local_path(file_name)
    with image_errors(file_name):
        # A pipe or a device would block or never end.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise InputError(f"{file_name}: not a regular file; give an image file.")
        with open_image(path) as header:
            _check_size(file_name, header, size)
            check_depth(file_name, header)
        # Opened anew, with all formats: EPS begins like none of ours.
        return detection_utils.read_image(path, format=image_format)


def open_image(source: str | Path | IO[bytes]) -> Image.Image:
    """The header of an image of one of `FORMATS`; what is wrong with it raises as Pillow does."""
    return Image.open(source, formats=FORMATS)


def check_depth(file_name: str, header: Image.Image) -> None:
    """Raise InputError for an image of more than 8 bits a channel."""
    if header.mode in _WIDE_MODES:
        raise InputError(
            f"{file_name}: more than 8 bits a channel ({header.mode}), whose black and white are unknown; "
            "convert the image to 8 bits first."
        )


@contextmanager
def image_errors(file_name: str, kind: str = "image") -> Iterator[None]:
    """Whatever goes wrong with reading `file_name` inside becomes an `InputError` of one sentence; `kind`: of file."""
    try:
        with warnings.catch_warnings():
            # Between the limit and twice the limit Pillow only warns; such images are usable.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except (InputError, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{file_name}: no such {kind} file; check the {kind} folder.") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(f"{file_name}: more than {limit} pixels; give a smaller {kind}.") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise InputError(
            f"{file_name}: not a readable {kind} file ({type(error).__name__}: {error}); replace or remove the file."
        ) from error


def _check_size(file_name: str, header: Image.Image, size: tuple[int, int] | None) -> None:
    if size is None:
        return
    width, height = header.size
    try:
        orientation = header.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # a damaged tag is no tag, as in Detectron2's own reader
        orientation = None
    if orientation in _TURNED_BY_90:
        width, height = height, width
    if (width, height) != size:
        raise InputError(
            f"{file_name}: the image is {width}x{height} pixels, its annotation says {size[0]}x{size[1]}; "
            f"correct 'width' and 'height' or give the image that was annotated."
        )
