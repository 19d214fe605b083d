"""From the record of an image to the pixels that the model gets."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.data.image_file import check_depth, image_errors, open_image
from eva_engine.data.record_errors import check_on_error, or_skip
from eva_engine.data.skipped_samples import SkippedSamples

from .image_dataset import ImageRecord

logger = logging.getLogger(__name__)

# Class of an image or video that could not be read: no prediction is right.
UNREADABLE = -1


class ImageMapper:
    """Reads, transforms and labels an image; orientation tags are ignored, as in the published recipes.

    Args:
        transform: from an RGB PIL image to normalised pixels [3, H, W].
        on_error: "stop" raises `InputError` at an image that cannot be read. "skip" counts and names it: in training
            another one is drawn in its place, in evaluation a black image stands for it that no prediction is right
            for.
        is_train: which of the two.
        border: pixels that are cut off at each side before the transform.
    """

    def __init__(
        self,
        transform: Callable[[Image.Image], Tensor],
        *,
        is_train: bool,
        on_error: str = "stop",
        border: int = 0,
    ) -> None:
        self.transform = transform
        self.is_train = is_train
        self.on_error = check_on_error(on_error)
        self.border = border
        self._skipped = SkippedSamples()

    def __call__(self, record: ImageRecord) -> dict[str, Any] | None:
        """{"image": float32 array [3, H, W], "label": class number, "file_name": ...}, or None for a skipped image."""
        file_name = record["file_name"]
        try:
            image, label = self._read(record)
        except InputError as error:
            if self.on_error == "stop":
                raise or_skip(error, "images") from error
            if self.is_train:
                self._skipped.add(file_name, error)
                return None
            logger.warning("Counted as wrong: %s", error)
            image, label = Image.new("RGB", (64, 64)), UNREADABLE
        else:
            self._skipped.reset()
        # An array goes from a worker to the loader by value: tensors would each hold a file open until the batch is
        # complete, and batches can have more images than a process may open files.
        pixels = np.ascontiguousarray(self.transform(image).numpy(), dtype=np.float32)
        return {"image": pixels, "label": label, "file_name": file_name}

    def _read(self, record: ImageRecord) -> tuple[Image.Image, int]:
        file_name = record["file_name"]
        with image_errors(file_name):
            file, label = record["read"]()
            with file, open_image(file) as opened:
                check_depth(file_name, opened)
                image = opened.convert("RGB")
        if min(image.size) <= 2 * self.border:
            raise InputError(f"{file_name}: {image.width}x{image.height} pixels leave nothing inside the border.")
        return (ImageOps.crop(image, self.border) if self.border else image), int(label)
