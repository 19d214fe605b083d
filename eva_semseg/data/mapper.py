"""From the record of a labelled image to what the model gets: a crop in training, views of the whole in evaluation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.image_file import read_image
from eva_engine.data.record_errors import check_on_error, or_skip
from eva_engine.data.skipped_samples import SkippedSamples

from ..segmentation_targets import IGNORED
from .label_file import read_labels
from .test_time_augmentation import TestTimeAugmentation
from .transforms import Pair

logger = logging.getLogger(__name__)


class TrainingMapper:
    """Reads, augments, normalises and pads an image and its labels.

    Args:
        augmentations: each from image [H, W, 3] uint8 and labels [H, W] to the same.
        size: (height, width) of all results; what is smaller is padded at the right and bottom, behind the
            normalisation: with 0, which is the mean colour, and with 255.
        pixel_mean, pixel_std: of RGB values 0..255.
        num_classes: labels of other numbers are an error.
        on_error: "stop" raises `InputError` at a bad image or label file; "skip" counts and names it, and the loader
            takes another image; 20 in a row stop the run all the same.
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
        self.pixel_mean, self.pixel_std = (np.array(list(v), dtype=np.float32) for v in (pixel_mean, pixel_std))
        self.num_classes = num_classes
        self.on_error = check_on_error(on_error)
        self._skipped = SkippedSamples()

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """{"image": float32 array [3, *size], "label": int32 array [*size], "file_name": ...}; None: skipped."""
        try:
            result = self._map(record)
        except InputError as error:
            if self.on_error == "stop":
                raise or_skip(error, "images") from error
            self._skipped.add(record["file_name"], error)
            return None
        self._skipped.reset()
        return result

    def _map(self, record: Mapping[str, Any]) -> dict[str, Any]:
        image = read_image(record["file_name"], "RGB")
        labels = read_labels(record["sem_seg_file_name"], self.num_classes, image.shape[:2])
        for augment in self.augmentations:
            image, labels = augment(image, labels)
        height, width = labels.shape
        if height > self.size[0] or width > self.size[1]:
            raise InputError(
                f"{record['file_name']}: the augmentations leave {width}x{height} pixels, the mapper makes "
                f"{self.size[1]}x{self.size[0]}; add a crop of that size."
            )
        pixels = np.zeros((3, *self.size), dtype=np.float32)
        pixels[:, :height, :width] = ((image.astype(np.float32) - self.pixel_mean) / self.pixel_std).transpose(2, 0, 1)
        padded = np.full(self.size, IGNORED, dtype=np.int32)
        padded[:height, :width] = labels
        return {"image": pixels, "label": padded, "file_name": record["file_name"]}


class EvaluationMapper:
    """Reads an image and makes its views; labels are read by the evaluator.

    Args:
        views: which.
        on_error: "stop" raises `InputError` at a bad image; "skip" names it and hands on a black image of the size of
            its labels.
    """

    def __init__(self, views: TestTimeAugmentation, on_error: str = "stop") -> None:
        self.views = views
        self.on_error = check_on_error(on_error)

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record with "height" and "width" of the image, and "views"."""
        try:
            image = read_image(record["file_name"], "RGB")
        except InputError as error:
            if self.on_error == "stop":
                raise or_skip(error, "images") from error
            logger.warning("Evaluated as a black image: %s", error)
            image = _black_image(record)
        height, width = image.shape[:2]
        return {**record, "height": height, "width": width, "views": self.views(image)}


def _black_image(record: Mapping[str, Any]) -> np.ndarray:
    labels = read_labels(record["sem_seg_file_name"], num_classes=2**31 - 1)
    return np.zeros((*labels.shape, 3), dtype=np.uint8)
