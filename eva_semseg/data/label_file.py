"""Reading a label map: one class number for every pixel of an image."""

import stat
from pathlib import Path

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.image_file import image_errors, open_image

from ..segmentation_targets import IGNORED

# One channel of whole numbers. The numbers of a palette picture are its colour numbers.
_MODES = ("L", "P", "1", "I", "I;16", "I;16B", "I;16L", "I;16N")


def read_labels(file_name: str, num_classes: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """Class numbers [H, W] int32, 0 to `num_classes` - 1, or `IGNORED` where there is no label.

    Args:
        size: expected (height, width).

    Raises:
        InputError: no such file, not readable, a colour picture, other numbers, or another size.
    """
    with image_errors(file_name, "label"):
        # A pipe or a device would block or never end.
        if not stat.S_ISREG(Path(file_name).stat().st_mode):
            raise InputError(f"{file_name}: not a regular file; give a label file.")
        with open_image(file_name) as image:
            if image.mode not in _MODES:
                raise InputError(
                    f"{file_name}: {image.mode} pixels, expected one class number a pixel; "
                    "give a PNG with one channel of 8 or 16 bits, or with a palette."
                )
            labels = np.array(image)
    if size is not None and labels.shape != tuple(size):
        raise InputError(
            f"{file_name}: the labels are {labels.shape[1]}x{labels.shape[0]} pixels, the image is "
            f"{size[1]}x{size[0]}; give the labels of this image."
        )
    labels = labels.astype(np.int32)
    unknown = labels[((labels < 0) | (labels >= num_classes)) & (labels != IGNORED)]
    if unknown.size:
        raise InputError(
            f"{file_name}: {unknown.size} pixels have the value {unknown[0]} or another unknown one, expected are 0 to "
            f"{num_classes - 1}, or {IGNORED} for no label; correct the labels or the list of classes."
        )
    return labels
