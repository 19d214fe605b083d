"""Reduce images with more than 8 bits per channel to 8 bits, with given levels of black and white."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from eva_backbone.errors import InputError

ValueRange = tuple[float, float]
# Pillow keeps the values of one channel in these formats. It scales those of PPM and JPEG 2000 files to 16 bits, and
# reduces several channels to 8 bits.
_EXACT_FORMATS = ("PNG", "TIFF")
_MAX_16_BITS = 0xFFFF
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EMPTY_CHUNK = 12  # bytes: length, kind, checksum


def reduce_to_8_bits(name: str, image: ImageFile.ImageFile, content: bytes, value_range: ValueRange) -> Image.Image:
    """Decode an image and map the values from `low` to `high` linearly to 0 to 255; others are clipped.

    Args:
        name: Name of the file for messages.
        image: Opened, not decoded; of more than 8 bits per channel.
        content: Bytes of the file.
        value_range: (low, high), the values of black and of white.

    Returns:
        An image in Pillow's mode "RGB", without transparency, as it is stored; that of a TIFF file is upright.

    Raises:
        InputError: OpenCV is needed and not installed, or cannot decode the file.
    """
    if image.format in _EXACT_FORMATS and len(image.getbands()) == 1:
        values = np.asarray(image)
    else:
        values = _decode(name, content)
    scaled = scale_to_8_bits(values, value_range)
    if scaled.ndim == 2:
        return Image.fromarray(scaled).convert("RGB")
    return Image.fromarray(np.ascontiguousarray(scaled[:, :, 2::-1]))  # from BGR or BGRA


def _decode(name: str, content: bytes) -> np.ndarray:
    """Return the values of an image, [H, W], [H, W, 3] BGR or [H, W, 4] BGRA."""
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            f"{name}: colour images with more than 8 bits need OpenCV: pip install opencv-python-headless."
        ) from error
    if not _chunks_are_complete(content):
        raise InputError(f"{name}: not a readable image file (it is truncated or damaged); replace or remove the file.")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it would repeat the error on the terminal
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype == np.uint8:
        raise InputError(f"{name}: its values of more than 8 bits cannot be read; save the image as PNG or TIFF.")
    return values


def _chunks_are_complete(content: bytes) -> bool:
    """Return whether the chunks of a PNG file are as long as they state; True for other files.

    OpenCV reserves the memory that a chunk states before it reads it, up to 2 GB.
    """
    if not content.startswith(_PNG_SIGNATURE):
        return True
    position = len(_PNG_SIGNATURE)
    while position <= len(content) - _EMPTY_CHUNK:
        kind = content[position + 4 : position + 8]
        position += _EMPTY_CHUNK + int.from_bytes(content[position : position + 4])
        if kind == b"IEND":
            return position <= len(content)
    return False


def check_value_range(given: Any, kinds: Sequence[str], name: str, text: str) -> ValueRange | None:
    """Return the levels of black and white that the user has given, or None.

    Args:
        given: The levels, two numbers.
        kinds: Kinds of inputs that the model accepts, "image" or "video".
        name: Name of the option, for messages.
        text: The option with its values, for messages.

    Raises:
        InputError: They are not two increasing numbers, or the model takes no images.
    """
    if given is None:
        return None
    if "image" not in kinds:
        raise InputError(f"{name} is an option for images, and this model takes videos; leave it out.")
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low = high = math.nan
    if isinstance(given, str) or not -math.inf < low < high < math.inf:
        raise InputError(f"{text} is not a range; give the values of black and of white.")
    return low, high


def scale_to_8_bits(values: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Return values of any shape as uint8, 0 at black and 255 at white; what is not a number becomes 0."""
    low, high = value_range
    if values.dtype == np.uint16:  # a table takes much less memory than arithmetic
        return scale_to_8_bits(np.arange(_MAX_16_BITS + 1, dtype=np.float32), value_range)[values]
    scaled = np.nan_to_num(values.astype(np.float32), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    scaled -= low
    scaled *= 255 / (high - low)
    return np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled).astype(np.uint8)
