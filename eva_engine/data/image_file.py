"""Read images from untrusted files: the one reader for training, evaluation and prediction of all tasks."""

import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageFile

from eva_backbone.errors import InputError

from .deep_image import ValueRange, reduce_to_8_bits
from .heif import is_heif, register_heif
from .image_checks import MAX_BYTES, MAX_PIXELS, check_cost, check_depth, is_deep

# Pillow detects the format from the content. Without this list it would also try formats that start other programs
# (EPS) or that accept nearly any content. HEIC is the only other one; it needs an extra package, see `heif`.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
# JPEGs inside of TIFF files can have many scans, too (see `image_checks`); libtiff's own limit is 100.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", "20")
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# In these formats the further images of a file are previews, depth or gain maps, rather than frames or pages.
_WITH_AUXILIARY_IMAGES = ("MPO", "HEIF")
Source = str | Path | IO[bytes]


def read_rgb_image(
    source: Source,
    name: str | None = None,
    *,
    apply_exif_orientation: bool = True,
    value_range: ValueRange | None = None,
    on_further_frames: Callable[[], None] | None = None,
) -> np.ndarray:
    """Read an image as an array [H, W, 3] uint8 RGB, see `read_image`."""
    image = read_image(
        source,
        name,
        apply_exif_orientation=apply_exif_orientation,
        value_range=value_range,
        on_further_frames=on_further_frames,
    )
    return np.array(image)


def read_image(
    source: Source,
    name: str | None = None,
    *,
    apply_exif_orientation: bool = True,
    value_range: ValueRange | None = None,
    on_further_frames: Callable[[], None] | None = None,
) -> Image.Image:
    """Read an image as RGB: the first frame or page, without transparency.

    Args:
        source: File of one of `FORMATS` or HEIC, or its name. The format is detected from the content.
        name: Name of the file for messages; None if `source` is the name.
        apply_exif_orientation: Turn the image as its orientation tag says, like viewers of images. False leaves the
            pixels as they are stored, except in TIFF and HEIC files, which are always turned.
        value_range: (low, high), values of black and of white in images with more than 8 bits per channel; None refuses
            these images. Others are not affected. Only `predict` gives it.
        on_further_frames: Function that is called if the file is an animation or has several pages.

    Returns:
        An image in Pillow's mode "RGB".

    Raises:
        InputError: The file does not exist, is not a regular file or not an image, is truncated or damaged, takes too
            long or too much memory to decode, has more than 8 bits per channel without a `value_range`, or needs a
            package that is not installed.
    """
    name = str(source) if name is None else name
    with opened_image(source, name) as (image, content):
        if on_further_frames is not None and has_further_frames(image):
            on_further_frames()
        if value_range is not None and is_deep(image, content):
            is_turned = apply_exif_orientation and image.format != "TIFF"  # which decoders turn themselves
            orientation = _orientation(image) if is_turned else None
            return _turn(reduce_to_8_bits(name, image, content, value_range), orientation)
        check_depth(name, image, content)
        return load_image(image, apply_exif_orientation).convert("RGB")


@contextmanager
def opened_image(source: Source, name: str, kind: str = "image") -> Iterator[tuple[ImageFile.ImageFile, bytes]]:
    """Open an image that can be decoded in bounded time and memory, and report all problems in the block.

    Args:
        source: File of one of `FORMATS`, or its name.
        name: Name of the file for messages.
        kind: Noun for the kind of file in messages.

    Yields:
        The image, not decoded, and the bytes of its file.

    Raises:
        InputError: The file is not one that `read_image` accepts; its depth is not checked.
    """
    with image_errors(name, kind):
        opened = open_regular_file(source, kind) if isinstance(source, str | Path) else nullcontext(source)
        with opened as file:
            if file.seek(0, os.SEEK_END) > MAX_BYTES:
                raise InputError(f"{name}: more than {MAX_BYTES:,} bytes, the limit; compress the {kind}.")
            file.seek(0)
            content = file.read()
        if is_heif(content):
            register_heif(name)
        # Read from memory, a box or tag of a huge size cannot reserve more memory than the file has bytes.
        with open_image(io.BytesIO(content)) as image:
            check_cost(name, image, content, kind)
            yield image, content


def load_image(image: Image.Image, apply_exif_orientation: bool = True) -> Image.Image:
    """Decode an opened image and, if asked to, turn it as its orientation tag says.

    The result is that of Pillow's `ImageOps.exif_transpose`, which raises an error for some damaged tags; they are
    ignored here.
    """
    image.load()
    return _turn(image, _orientation(image)) if apply_exif_orientation else image


def has_further_frames(image: Image.Image) -> bool:
    """Return whether an opened image is the first of several frames or pages."""
    try:
        return getattr(image, "is_animated", False) and image.format not in _WITH_AUXILIARY_IMAGES
    except Exception:  # looking for the second frame of a damaged file raises nearly any exception
        return False


def _orientation(image: Image.Image) -> int | None:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # reading damaged tags raises nearly any exception
        return None


def _turn(image: Image.Image, orientation: int | None) -> Image.Image:
    if orientation in _TRANSPOSITIONS:
        return image.transpose(_TRANSPOSITIONS[orientation])
    return image


def open_image(source: Source) -> ImageFile.ImageFile:
    """Open an image of one of `FORMATS`, or of HEIC after `register_heif`, without decoding it.

    Problems raise Pillow's exceptions.
    """
    return Image.open(source, formats=(*FORMATS, "HEIF") if "HEIF" in Image.OPEN else FORMATS)


def open_regular_file(path: str | Path, kind: str = "image") -> IO[bytes]:
    """Open a file for reading; raise InputError if it is a pipe or a device, which might block or never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InputError(f"{path}: not a regular file; replace it with the {kind} file.")
    return open(path, "rb")


@contextmanager
def image_errors(name: str, kind: str = "image") -> Iterator[None]:
    """Turn any error while reading a file in the block into an InputError of one sentence, and ignore warnings.

    Args:
        name: Name of the file that is read.
        kind: Noun for the kind of file in messages.
    """
    try:
        with warnings.catch_warnings():
            # About damaged tags, transparent palettes, and sizes that `check_cost` accepts.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    except (InputError, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{name}: no such {kind} file; check the {kind} folder.") from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{name}: more than {MAX_PIXELS:,} pixels, the limit; scale the {kind} down or tile it."
        ) from error
    except Exception as error:  # damaged files make decoders raise nearly any exception
        is_unknown = isinstance(error, Image.UnidentifiedImageError)
        reason = "its format is unknown" if is_unknown else f"{type(error).__name__}: {error}"
        raise InputError(f"{name}: not a readable {kind} file ({reason}); replace or remove the file.") from error


def read_dataset_image(file_name: str, image_format: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image of a dataset, rotated according to its EXIF tag; deprecated, see `eva_engine.data`.

    Args:
        file_name: Image file.
        image_format: Order of the channels: "RGB", "BGR", or another of Detectron2's image formats.
        size: Expected (width, height) in pixels of the rotated image.

    Returns:
        [H, W, C] uint8.

    Raises:
        InputError: The file cannot be read, see `read_image`, or the image has another size.
    """
    from detectron2.data.detection_utils import convert_PIL_to_numpy  # the other functions do not need Detectron2

    image = read_image(file_name)
    if size is not None and image.size != tuple(size):
        raise InputError(f"{file_name}: the image is {image.width} x {image.height}, expected {size[0]} x {size[1]}")
    return convert_PIL_to_numpy(image, image_format)
