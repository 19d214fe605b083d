"""Keep the images with the lowest accuracy of an evaluation, with their predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

NUM_WORST = 12


class WorstImages:
    """The images of a process with the most wrong pixels, relative to their labelled pixels.

    Attributes:
        images: Records of "file", "accuracy" (fraction of labelled pixels), "prediction" (class indices [H, W] uint8 or
            uint16) and "label_values" of the image; at most `NUM_WORST`, the worst first.
    """

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []

    def add(self, counts: np.ndarray, image: Mapping[str, Any], scores: Tensor) -> None:
        """Add an image if it is one of the worst.

        Args:
            counts: Labelled pixels by true and predicted class, [K, K].
            image: Record of the image.
            scores: Score of every class, [K, H, W].
        """
        labelled = counts.sum()
        accuracy = float(counts.trace() / labelled) if labelled else 1.0
        if accuracy == 1 or (len(self.images) == NUM_WORST and accuracy >= self.images[-1]["accuracy"]):
            return
        dtype = np.uint8 if len(counts) <= 256 else np.uint16
        record = {
            "file": image["file_name"],
            "accuracy": accuracy,
            "prediction": scores.argmax(0).cpu().numpy().astype(dtype),
            "label_values": image.get("label_values"),
        }
        self.images = sorted([*self.images, record], key=lambda one: one["accuracy"])[:NUM_WORST]
