"""Mappers from the record of an image to the pixels and the label for the model, for training and evaluation."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import SkippedSamples, check_on_error, suggest_skipping
from eva_engine.data.image_file import image_errors, read_image

from .image_dataset import ImageRecord

logger = logging.getLogger(__name__)

# Label of an image or video that could not be read: no prediction is correct.
UNREADABLE = -1


class TrainingMapper:
    """Read, transform and label an image for training.

    Args:
        transform: Maps an RGB PIL image to normalised pixels [3, H, W].
        on_error: "stop" raises `InputError` for an image that cannot be read. "skip" logs it, and the loader draws
            another image instead.
        apply_exif_orientation: Turn images as their orientation tags say. The published recipes do not.
    """

    def __init__(
        self,
        transform: Callable[[Image.Image], Tensor],
        *,
        on_error: str = "stop",
        apply_exif_orientation: bool = True,
    ) -> None:
        self.transform = transform
        self.apply_exif_orientation = apply_exif_orientation
        self.on_error = check_on_error(on_error)
        self._skipped = SkippedSamples()

    def __call__(self, record: ImageRecord) -> dict[str, Any] | None:
        """Return {"image": float32 array [3, H, W], "label": class index, "file_name": ...}; None if skipped.

        Raises:
            InputError: The image cannot be read and `on_error` is "stop", or too many were skipped in a row.
        """
        try:
            image, label = _read_image(record, self.apply_exif_orientation)
        except InputError as error:
            if self.on_error == "stop":
                raise suggest_skipping(error, "images") from error
            self._skipped.add(record["file_name"], error)
            return None
        self._skipped.reset()
        return _make_sample(record, self.transform(image), label)


class EvaluationMapper:
    """Read, transform and label an image for evaluation.

    Args:
        transform: Maps an RGB PIL image to normalised pixels [3, H, W].
        on_error: "stop" raises `InputError` for an image that cannot be read. "skip" logs it and evaluates a black
            image with the label `UNREADABLE`, for which every prediction is wrong.
        border: Number of pixels to crop from each side before the transform.
        apply_exif_orientation: Turn images as their orientation tags say. The published recipes do not.
    """

    def __init__(
        self,
        transform: Callable[[Image.Image], Tensor],
        *,
        on_error: str = "stop",
        border: int = 0,
        apply_exif_orientation: bool = True,
    ) -> None:
        self.transform = transform
        self.apply_exif_orientation = apply_exif_orientation
        self.on_error = check_on_error(on_error)
        self.border = border

    def __call__(self, record: ImageRecord) -> dict[str, Any]:
        """Return {"image": float32 array [3, H, W], "label": class index, "file_name": ...}.

        Raises:
            InputError: The image cannot be read and `on_error` is "stop".
        """
        try:
            image, label = _read_image(record, self.apply_exif_orientation)
            image = self._crop_border(image, record["file_name"])
        except InputError as error:
            if self.on_error == "stop":
                raise suggest_skipping(error, "images") from error
            logger.warning("Counted as wrong: %s", error)
            image, label = Image.new("RGB", (64, 64)), UNREADABLE
        return _make_sample(record, self.transform(image), label)

    def _crop_border(self, image: Image.Image, file_name: str) -> Image.Image:
        if not self.border:
            return image
        if min(image.size) <= 2 * self.border:
            raise InputError(
                f"{file_name}: an image of {image.width}x{image.height} pixels has nothing left inside a border of "
                f"{self.border} pixels."
            )
        return ImageOps.crop(image, self.border)


def _read_image(record: ImageRecord, apply_exif_orientation: bool) -> tuple[Image.Image, int]:
    file_name = record["file_name"]
    with image_errors(file_name):
        file, label = record["read"]()
        with file:
            return read_image(file, file_name, apply_exif_orientation=apply_exif_orientation), int(label)


def _make_sample(record: ImageRecord, pixels: Tensor, label: int) -> dict[str, Any]:
    # Workers send arrays to the loader by value. Tensors would go through shared memory and keep a file open each until
    # the batch is complete; a large batch can exceed the limit of open files.
    array = np.ascontiguousarray(pixels.numpy(), dtype=np.float32)
    return {"image": array, "label": label, "file_name": record["file_name"]}
