"""Pictures from files nobody vouches for, and finished files that appear under their name only when complete."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from eva_backbone.errors import InputError

# Named, because Pillow would otherwise also try formats that start other programs (EPS) or are read far too leniently.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
MAX_PIXELS = 100_000_000
WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture the way it is displayed: EXIF orientation applied, first frame or page, transparency dropped.

    Args:
        path: a file of one of ``FORMATS``, told by its content.
        max_pixels: a picture whose header announces more is refused before it is decoded.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        InputError: the file is no picture, is truncated or damaged, is too large, or has more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels decides, on the next lines
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    size = f"{image.width}x{image.height}"
                    raise InputError(f"{path}: {size} pixels, at most {max_pixels:,} are read: make it smaller first.")
                if image.mode in WIDE_MODES:
                    raise InputError(
                        f"{path}: {image.mode} pixels of more than 8 bits, whose black and white are unknown: "
                        "convert it to 8 bits a channel first."
                    )
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        reason = "its format is unknown" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"{path}: not readable as a picture ({reason}): replace the file or leave it out.") from error


def save_image(image: np.ndarray, path: str | Path) -> None:
    """Write [H, W, 3] uint8 RGB as a JPEG without colour subsampling, so that thin coloured outlines stay crisp."""
    with finished_file(path) as partial:
        Image.fromarray(image).save(partial, format="JPEG", quality=92, subsampling=0)


@contextlib.contextmanager
def finished_file(path: str | Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends, and is deleted if it raises.

    A link or an older result at ``path`` is replaced, never written through.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=f".partial{path.suffix}")
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
