"""Mappers from the record of a labelled image to the input of the model: a crop in training, views in evaluation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import SkippedSamples, check_on_error, suggest_skipping
from eva_engine.data.image_file import read_rgb_image

from ..segmentation_targets import IGNORE_LABEL
from .label_file import read_labels
from .test_time_augmentation import TestTimeAugmentation
from .transforms import Pair

logger = logging.getLogger(__name__)


class TrainingMapper:
    """Reads, augments, normalises and pads an image and its labels.

    Args:
        augmentations: Functions from an image [H, W, 3] uint8 and labels [H, W] to an augmented pair.
        size: (height, width) of all results. Smaller images are padded at the right and bottom after normalisation with
            0, which is the mean colour, and their labels with 255.
        pixel_mean, pixel_std: Of RGB values 0 to 255.
        num_classes: Number of classes; other label values than 0 to `num_classes` - 1 and 255 are an error.
        on_error: "stop" raises `InputError` for a bad image or label file; "skip" logs it and draws another image, but
            still stops after 20 bad samples in a row.
    """

    def __init__(
        self,
        augmentations: Sequence[Callable[[np.ndarray, np.ndarray], Pair]],
        *,
        size: tuple[int, int],
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        num_classes: int,
        on_error: str = "stop",
    ) -> None:
        self.augmentations = list(augmentations)
        self.size = tuple(size)
        self.pixel_mean = np.array(list(pixel_mean), dtype=np.float32)
        self.pixel_std = np.array(list(pixel_std), dtype=np.float32)
        self.num_classes = num_classes
        self.on_error = check_on_error(on_error)
        self._skipped = SkippedSamples()

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return {"image": float32 [3, *size], "label": int32 [*size], "file_name": ...}, or None for a bad sample."""
        try:
            result = self._map(record)
        except InputError as error:
            if self.on_error == "stop":
                raise suggest_skipping(error, "images") from error
            self._skipped.add(record["file_name"], error)
            return None
        self._skipped.reset()
        return result

    def _map(self, record: Mapping[str, Any]) -> dict[str, Any]:
        image = read_rgb_image(record["file_name"])
        labels = read_labels(record["sem_seg_file_name"], self.num_classes, image.shape[:2], record.get("label_values"))
        for augment in self.augmentations:
            image, labels = augment(image, labels)
        height, width = labels.shape
        if height > self.size[0] or width > self.size[1]:
            raise InputError(
                f"{record['file_name']}: the augmented image has {width}x{height} pixels, more than the mapper's size "
                f"of {self.size[1]}x{self.size[0]}; add a crop of that size."
            )
        pixels = np.zeros((3, *self.size), dtype=np.float32)
        pixels[:, :height, :width] = ((image.astype(np.float32) - self.pixel_mean) / self.pixel_std).transpose(2, 0, 1)
        padded = np.full(self.size, IGNORE_LABEL, dtype=np.int32)
        padded[:height, :width] = labels
        return {"image": pixels, "label": padded, "file_name": record["file_name"]}


class EvaluationMapper:
    """Reads an image and makes its views; the evaluator reads the labels.

    Args:
        views: Test-time augmentation that makes the views.
        on_error: "stop" raises `InputError` for a bad image; "skip" logs it and uses a black image of the size of its
            labels, so that its pixels still count in the metrics.
    """

    def __init__(self, views: TestTimeAugmentation, on_error: str = "stop") -> None:
        self.views = views
        self.on_error = check_on_error(on_error)

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record with the image's "height" and "width", and its "views" of `TestTimeAugmentation`."""
        try:
            image = read_rgb_image(record["file_name"])
        except InputError as error:
            if self.on_error == "stop":
                raise suggest_skipping(error, "images") from error
            logger.warning("Evaluated as a black image: %s", error)
            image = _black_image(record)
        height, width = image.shape[:2]
        return {**record, "height": height, "width": width, "views": self.views(image)}


def _black_image(record: Mapping[str, Any]) -> np.ndarray:
    # Only the size matters here; the evaluator checks the values.
    labels = read_labels(record["sem_seg_file_name"], num_classes=2**31 - 1)
    return np.zeros((*labels.shape, 3), dtype=np.uint8)
