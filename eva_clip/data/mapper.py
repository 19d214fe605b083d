"""From the record of a pair to the pixels and token ids that the model gets."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.data.image_file import check_depth, image_errors, open_image
from eva_engine.data.record_errors import check_on_error, or_skip
from eva_engine.data.skipped_samples import SkippedSamples

from ..tokenizer import Tokenizer
from .caption_dataset import PairRecord


class PairMapper:
    """Reads and transforms an image and tokenises one of its captions, drawn at random where it has several.

    Args:
        transform: from a PIL image to normalised pixels [3, H, W].
        tokenizer: of the model.
        on_error: "stop" raises `InputError` at an image that cannot be read or has no caption. "skip" counts and names
            it, and another pair is drawn in its place.
    """

    def __init__(
        self, transform: Callable[[Image.Image], Tensor], tokenizer: Tokenizer, *, on_error: str = "stop"
    ) -> None:
        self.transform = transform
        self.tokenizer = tokenizer
        self.on_error = check_on_error(on_error)
        self._skipped = SkippedSamples()

    def __call__(self, record: PairRecord) -> dict[str, Any] | None:
        """The pair for `PairCollate`, or None for a skipped one.

        {"image": float32 array [3, H, W], "text": int64 array [L], "is_cut": the text was too long, "file_name": ...}.
        """
        file_name = record["file_name"]
        try:
            pixels, caption = self._read(record)
        except InputError as error:
            if self.on_error == "stop":
                raise or_skip(error, "pairs") from error
            self._skipped.add(file_name, error)
            return None
        self._skipped.reset()
        ids, cut = self.tokenizer.tokenize([caption])
        # Arrays, because tensors of a worker would each hold a file open until the batch is complete.
        return {"image": pixels, "text": ids[0].numpy(), "is_cut": bool(cut), "file_name": file_name}

    def _read(self, record: PairRecord) -> tuple[np.ndarray, str]:
        file_name = record["file_name"]
        with image_errors(file_name):
            file, captions = record["read"]()
            with file, open_image(file) as image:
                check_depth(file_name, image)
                image.load()
                captions = [caption for caption in captions if caption.strip()]
                if not captions:
                    raise InputError(f"{file_name}: the image has no caption; write one.")
                pixels = np.ascontiguousarray(self.transform(image).numpy(), dtype=np.float32)
        return pixels, random.choice(captions)
