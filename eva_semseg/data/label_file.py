"""Reading of label maps: one class index for every pixel of an image."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from PIL import ImageFile

from eva_backbone.errors import InputError
from eva_engine.data.image_file import load_image, opened_image

from ..segmentation_targets import IGNORE_LABEL

# Class index of each value in a label file, or of each colour.
LabelValues: TypeAlias = Mapping[int, int] | Mapping[tuple[int, int, int], int]

# Pillow's modes of one channel of integers. The values of a palette image are its colour indices.
_MODES = ("L", "P", "1", "I", "I;16", "I;16B", "I;16L", "I;16N")


def read_labels(
    file_name: str,
    num_classes: int,
    size: tuple[int, int] | None = None,
    label_values: LabelValues | None = None,
) -> np.ndarray:
    """Read class indices [H, W] int32, 0 to `num_classes` - 1, or `IGNORE_LABEL` for unlabelled pixels.

    A label map is turned as its own orientation tag says, like its image: both are read as they are displayed.

    Args:
        file_name: An image file with one channel of integers, or a palette image.
        num_classes: Number of classes.
        size: Expected (height, width); None for any.
        label_values: Class index, or `IGNORE_LABEL`, of each value in the file, or of each colour (red, green, blue);
            None if the values are the indices.

    Raises:
        InputError: The file is missing, unreadable, a colour image or of another size, or has unknown values.
    """
    has_colours = label_values is not None and isinstance(next(iter(label_values), 0), tuple)
    with opened_image(file_name, file_name, "label") as (image, _):
        if has_colours:
            red, green, blue = np.moveaxis(np.array(load_image(image).convert("RGB"), dtype=np.int32), 2, 0)
            labels = _colour_code(red, green, blue)
        elif image.mode not in _MODES or _is_scaled(image):
            found = image.mode if image.mode not in _MODES else "scaled grey"
            raise InputError(
                f"{file_name}: {found} pixels, expected one class index per pixel; "
                "give a PNG with one channel of 8 or 16 bits, or with a palette."
            )
        else:
            labels = np.array(load_image(image))
    if size is not None and labels.shape != tuple(size):
        raise InputError(
            f"{file_name}: the labels are {labels.shape[1]}x{labels.shape[0]} pixels, the image is "
            f"{size[1]}x{size[0]}, both turned by their orientation tags; give the labels of this image."
        )
    labels = labels.astype(np.int32)
    if label_values is not None:
        labels = _map_values(file_name, labels, label_values)
    unknown = labels[((labels < 0) | (labels >= num_classes)) & (labels != IGNORE_LABEL)]
    if unknown.size:
        raise InputError(
            f"{file_name}: {unknown.size} pixels have the value {unknown[0]} or another unknown one; expected 0 to "
            f"{num_classes - 1}, or {IGNORE_LABEL} for unlabelled pixels; correct the labels or the list of classes."
        )
    return labels


def _colour_code(red: Any, green: Any, blue: Any) -> Any:
    return red << 16 | green << 8 | blue


def _map_values(file_name: str, labels: np.ndarray, label_values: LabelValues) -> np.ndarray:
    mapped = np.full_like(labels, -1)
    for value, class_index in label_values.items():
        code = _colour_code(*value) if isinstance(value, tuple) else value
        mapped[labels == code] = class_index
    unlisted = labels[mapped == -1]
    if unlisted.size and isinstance(next(iter(label_values)), tuple):
        code = int(unlisted[0])
        raise InputError(
            f"{file_name}: {unlisted.size} pixels have the colour {code >> 16}, {code >> 8 & 255}, {code & 255} or "
            "another one that the palette does not list; add it there, as unlabelled if it is not a class."
        )
    if unlisted.size:
        raise InputError(
            f"{file_name}: {unlisted.size} pixels have the value {unlisted[0]} or another one that label_values does "
            f"not list; add it there, with {IGNORE_LABEL} for unlabelled pixels."
        )
    return mapped


def _is_scaled(image: ImageFile.ImageFile) -> bool:
    """Return whether Pillow scales the stored values to 0 to 255: grey of 2 or 4 bits, PGM with another maximum."""
    decoder, _, _, arguments = image.tile[0]
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    is_scaled_pgm = decoder.startswith("ppm") and arguments[1:] not in ((), (255,), (65535,))
    return is_scaled_pgm or str(arguments[0]).startswith(("L;2", "L;4"))
