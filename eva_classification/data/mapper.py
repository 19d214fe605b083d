"""Map the record of an image to the pixels and the label for the model."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import SkippedSamples, check_on_error, suggest_skipping
from eva_engine.data.image_file import check_depth, image_errors, open_image

from .image_dataset import ImageRecord

logger = logging.getLogger(__name__)

# Label of an image or video that could not be read: no prediction is correct.
UNREADABLE = -1


class ImageMapper:
    """Read, transform and label an image. EXIF orientation is ignored, as in the published recipes.

    Args:
        transform: Maps an RGB PIL image to normalised pixels [3, H, W].
        is_train: Whether images are for training or for evaluation; see `on_error`.
        on_error: "stop" raises `InputError` for an image that cannot be read. "skip" logs it; training draws another
            image instead, evaluation uses a black image and counts it as wrong.
        border: Number of pixels to crop from each side before the transform.
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
        """Return {"image": float32 array [3, H, W], "label": class index, "file_name": ...}; None if skipped.

        Raises:
            InputError: The image cannot be read and `on_error` is "stop", or too many were skipped in a row.
        """
        file_name = record["file_name"]
        try:
            image, label = self._read(record)
        except InputError as error:
            if self.on_error == "stop":
                raise suggest_skipping(error, "images") from error
            if self.is_train:
                self._skipped.add(file_name, error)
                return None
            logger.warning("Counted as wrong: %s", error)
            image, label = Image.new("RGB", (64, 64)), UNREADABLE
        else:
            self._skipped.reset()
        # Workers send arrays to the loader by value. Tensors would go through shared memory and keep a file open each
        # until the batch is complete; a large batch can exceed the limit of open files.
        pixels = np.ascontiguousarray(self.transform(image).numpy(), dtype=np.float32)
        return {"image": pixels, "label": label, "file_name": file_name}

    def _read(self, record: ImageRecord) -> tuple[Image.Image, int]:
        file_name = record["file_name"]
        with image_errors(file_name):
            file, label = record["read"]()
            with file, open_image(file) as opened:
                check_depth(file_name, opened)
                image = opened.convert("RGB")
        if self.border:
            if min(image.size) <= 2 * self.border:
                raise InputError(
                    f"{file_name}: an image of {image.width}x{image.height} pixels has nothing left inside a border of "
                    f"{self.border} pixels."
                )
            image = ImageOps.crop(image, self.border)
        return image, int(label)
