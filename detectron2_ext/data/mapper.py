"""From a dataset dict to the model's input: the mappers of training and evaluation."""

import logging

import numpy as np
import torch
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T

from eva_backbone.errors import InputError
from eva_engine.data.image_file import read_image
from eva_engine.data.record_errors import check_on_error
from eva_engine.data.skipped_samples import SkippedSamples

from .instances import make_instances

logger = logging.getLogger(__name__)


class TrainMapper(DatasetMapper):
    """Detectron2's `DatasetMapper` for training, safe on images without instances and on bad images.

    Every result has ``instances`` with ``gt_boxes``, ``gt_classes`` and, with ``use_instance_mask``, ``gt_masks``, also
    when a crop left no instance (Detectron2's own mapper fails there under ``recompute_boxes``). Masks are
    `PolygonMasks` or `BitMasks` as ``instance_mask_format`` says; an image with run-length encoded masks always gets
    `BitMasks`, which cannot be turned into polygons without loss.

    Args:
        augmentations, image_format, use_instance_mask, instance_mask_format, recompute_boxes: as Detectron2's;
            ``recompute_boxes`` has no effect on instances without a mask.
        is_train: only for the same signature as Detectron2's; must be true.
        on_error: ``"stop"`` raises `InputError` at a bad image. ``"skip"`` returns None, for which the loader takes
            another image, and counts it; 20 bad images in a row stop the run all the same.
    """

    def __init__(
        self,
        is_train: bool = True,
        *,
        augmentations: list[T.Augmentation | T.Transform],
        image_format: str,
        use_instance_mask: bool = False,
        instance_mask_format: str = "polygon",
        recompute_boxes: bool = False,
        on_error: str = "stop",
    ) -> None:
        if not is_train:
            raise InputError("TrainMapper got is_train=False; use InferenceMapper for evaluation.")
        if instance_mask_format not in ("polygon", "bitmask"):
            raise InputError(f'instance_mask_format is {instance_mask_format!r}, expected "polygon" or "bitmask".')
        super().__init__(
            True,
            augmentations=augmentations,
            image_format=image_format,
            use_instance_mask=use_instance_mask,
            instance_mask_format=instance_mask_format,
            recompute_boxes=recompute_boxes and use_instance_mask,
        )
        self.on_error = check_on_error(on_error)
        self._skipped = SkippedSamples()

    @property
    def num_skipped(self) -> int:
        """Bad images met so far by this process (each loader worker counts and logs its own)."""
        return len(self._skipped)

    def __call__(self, dataset_dict: dict) -> dict | None:
        """Returns the record with ``image`` ([3, H, W], 0..255) and ``instances``; ``dataset_dict`` is not changed."""
        try:
            result = self._map(dataset_dict)
        except InputError as error:
            if self.on_error == "stop":
                raise
            self._skipped.add(dataset_dict["file_name"], error)
            return None
        self._skipped.reset()
        return result

    def _map(self, dataset_dict: dict) -> dict:
        image, transforms, result = _read_and_augment(dataset_dict, self.augmentations, self.image_format)
        result["instances"] = make_instances(
            result.pop("annotations", []),
            transforms,
            image_size=(dataset_dict["height"], dataset_dict["width"]),
            output_size=image.shape[:2],
            with_masks=self.use_instance_mask,
            mask_format=self.instance_mask_format,
            recompute_boxes=self.recompute_boxes,
            source=dataset_dict["file_name"],
        )
        return result


class InferenceMapper(DatasetMapper):
    """Detectron2's `DatasetMapper` for evaluation, with one sentence about bad images.

    Args:
        is_train: only for the same signature as Detectron2's; must be false.
        on_error: ``"stop"`` raises `InputError` at a bad image; ``"skip"`` logs it and hands the model a black image of
            the annotated size instead, so that the image counts as not detected and the run is not lost.
    """

    def __init__(
        self,
        is_train: bool = False,
        *,
        augmentations: list[T.Augmentation | T.Transform],
        image_format: str,
        on_error: str = "stop",
    ) -> None:
        if is_train:
            raise InputError("InferenceMapper got is_train=True; use TrainMapper for training.")
        super().__init__(False, augmentations=augmentations, image_format=image_format)
        self.on_error = check_on_error(on_error)

    def __call__(self, dataset_dict: dict) -> dict:
        """Returns the record with ``image`` ([3, H, W], 0..255); ``dataset_dict`` is not changed."""
        try:
            result = _read_and_augment(dataset_dict, self.augmentations, self.image_format)[2]
        except InputError as error:
            if self.on_error == "stop":
                raise
            logger.warning("Evaluated as a black image: %s", error)
            black = np.zeros((dataset_dict["height"], dataset_dict["width"], 3), dtype=np.uint8)
            result = _augment(dataset_dict, black, self.augmentations)[2]
        result.pop("annotations", None)
        return result


def _read_and_augment(
    dataset_dict: dict, augmentations: T.AugmentationList, image_format: str
) -> tuple[np.ndarray, T.TransformList, dict]:
    size = (dataset_dict["width"], dataset_dict["height"]) if "width" in dataset_dict else None
    return _augment(dataset_dict, read_image(dataset_dict["file_name"], image_format, size), augmentations)


def _augment(
    dataset_dict: dict, image: np.ndarray, augmentations: T.AugmentationList
) -> tuple[np.ndarray, T.TransformList, dict]:
    result = {"height": image.shape[0], "width": image.shape[1]} | dataset_dict
    augmented = T.AugInput(image)
    try:
        transforms = augmentations(augmented)
    except ValueError as error:
        raise InputError(
            f"{dataset_dict['file_name']}: {image.shape[1]}x{image.shape[0]} pixels cannot be augmented ({error}), "
            "most likely because one side shrinks to nothing; leave the image out."
        ) from error
    image = augmented.image
    result["image"] = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return image, transforms, result
