"""Mapper of image-text pairs: from a record to the pixels and token ids that the model takes."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import SkippedSamples, check_on_error, suggest_skipping
from eva_engine.data.image_file import image_errors, read_image

from ..tokenizer import Tokenizer
from .caption_dataset import CaptionRecord


class TrainingMapper:
    """Read and transform an image, and tokenize one of its captions, drawn at random if there are several.

    Args:
        transform: Function from an RGB PIL image to normalised pixels [3, H, W].
        tokenizer: Tokenizer of the model.
        on_error: "stop" raises `InputError` at an image that cannot be read or has no caption. "skip" logs and counts
            it, and the loader draws another pair instead.
        apply_exif_orientation: Turn images as their orientation tags say.
    """

    def __init__(
        self,
        transform: Callable[[Image.Image], Tensor],
        tokenizer: Tokenizer,
        *,
        on_error: str = "stop",
        apply_exif_orientation: bool = True,
    ) -> None:
        self.transform = transform
        self.tokenizer = tokenizer
        self.apply_exif_orientation = apply_exif_orientation
        self.on_error = check_on_error(on_error)
        self._skipped = SkippedSamples()

    def __call__(self, record: CaptionRecord) -> dict[str, Any] | None:
        """Map a record to a sample for `PairCollate`.

        Returns:
            {"image": float32 array [3, H, W], "text": int64 array [L], "is_cut": whether the text was too long,
            "file_name": str}; None for a skipped record.

        Raises:
            InputError: The image cannot be read or has no caption, and `on_error` is "stop"; or too many records in a
                row were skipped.
        """
        file_name = record["file_name"]
        try:
            pixels, caption = self._read(record)
        except InputError as error:
            if self.on_error == "stop":
                raise suggest_skipping(error, "pairs") from error
            self._skipped.add(file_name, error)
            return None
        self._skipped.reset()
        ids, cut = self.tokenizer.tokenize([caption])
        # Arrays, because each tensor that a worker returns would hold a file open until the batch is complete.
        return {"image": pixels, "text": ids[0].numpy(), "is_cut": bool(cut), "file_name": file_name}

    def _read(self, record: CaptionRecord) -> tuple[np.ndarray, str]:
        file_name = record["file_name"]
        with image_errors(file_name):
            file, captions = record["read"]()
            with file:
                image = read_image(file, file_name, apply_exif_orientation=self.apply_exif_orientation)
            captions = [caption for caption in captions if caption.strip()]
            if not captions:
                raise InputError(f"{file_name}: the image has no caption; write one.")
            pixels = np.ascontiguousarray(self.transform(image).numpy(), dtype=np.float32)
        return pixels, random.choice(captions)
