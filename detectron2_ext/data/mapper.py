"""Mappers from a dataset dict to the model's input, for training and evaluation."""

import logging

import numpy as np
import torch
from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import SkippedSamples, check_on_error
from eva_engine.data.image_file import read_image

from .instances import make_instances

logger = logging.getLogger(__name__)

MAX_INSTANCES = 1000  # the images of COCO, LVIS and Objects365 have fewer objects


class TrainingMapper(DatasetMapper):
    """Detectron2's `DatasetMapper` for training, with support for images without instances and for bad images.

    Every result has `instances` with `gt_boxes`, `gt_classes` and, with `use_instance_mask`, `gt_masks`, even if a crop
    leaves no instance (Detectron2's own mapper fails in this case under `recompute_boxes`). Masks are `PolygonMasks` or
    `BitMasks` according to `instance_mask_format`; an image with RLE masks always gets `BitMasks`, because RLE cannot
    be converted to polygons without loss.

    Args:
        is_train: Present for the same signature as Detectron2's mapper; must be True.
        augmentations: As in Detectron2.
        image_format: As in Detectron2.
        use_instance_mask: As in Detectron2.
        instance_mask_format: As in Detectron2.
        recompute_boxes: As in Detectron2, but without effect if `use_instance_mask` is False.
        on_error: "stop" raises `InputError` at a bad image. "skip" logs and counts the image and returns None, so that
            the loader takes another one; 20 bad images in a row still stop the run.
        max_instances: Largest number of objects of one image; of more, each sample gets a random selection, because
            matching them with all anchors would exhaust the memory. None for any number.
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
        max_instances: int | None = MAX_INSTANCES,
    ) -> None:
        if not is_train:
            raise InputError("TrainingMapper got is_train=False; use EvaluationMapper for evaluation.")
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
        if max_instances is not None and max_instances < 1:
            raise InputError(f"max_instances is {max_instances}, expected a positive integer or None.")
        self.on_error = check_on_error(on_error)
        self.max_instances = max_instances
        self._skipped = SkippedSamples()

    @property
    def num_skipped(self) -> int:
        """Number of bad images that this process has skipped (each loader worker counts and logs its own)."""
        return len(self._skipped)

    def __call__(self, dataset_dict: dict) -> dict | None:
        """Return the record with `image` ([3, H, W], 0..255) and `instances`; `dataset_dict` is not modified."""
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
            max_instances=self.max_instances,
            source=dataset_dict["file_name"],
        )
        return result


class EvaluationMapper(DatasetMapper):
    """Detectron2's `DatasetMapper` for evaluation, with a clear message about bad images.

    Args:
        is_train: Present for the same signature as Detectron2's mapper; must be False.
        augmentations: As in Detectron2.
        image_format: As in Detectron2.
        on_error: "stop" raises `InputError` at a bad image; "skip" logs it and passes a black image of the annotated
            size to the model, so that the objects in the image count as missed and the run continues.
        resize: Apply `augmentations`; False keeps the size of every image, for `dataloader.inference`, which applies
            them to parts of the image.
    """

    def __init__(
        self,
        is_train: bool = False,
        *,
        augmentations: list[T.Augmentation | T.Transform],
        image_format: str,
        on_error: str = "stop",
        resize: bool = True,
    ) -> None:
        if is_train:
            raise InputError("EvaluationMapper got is_train=True; use TrainingMapper for training.")
        super().__init__(False, augmentations=augmentations if resize else [], image_format=image_format)
        self.on_error = check_on_error(on_error)

    def __call__(self, dataset_dict: dict) -> dict:
        """Return the record with `image` ([3, H, W], 0..255); `dataset_dict` is not modified."""
        try:
            _, _, result = _read_and_augment(dataset_dict, self.augmentations, self.image_format)
        except InputError as error:
            if self.on_error == "stop":
                raise
            logger.warning("Evaluated as a black image: %s", error)
            black = np.zeros((dataset_dict["height"], dataset_dict["width"], 3), dtype=np.uint8)
            _, _, result = _augment(dataset_dict, black, self.augmentations)
        result.pop("annotations", None)
        return result


def _read_and_augment(
    dataset_dict: dict, augmentations: T.AugmentationList, image_format: str
) -> tuple[np.ndarray, T.TransformList, dict]:
    image = read_image(dataset_dict["file_name"])
    _check_size(dataset_dict, image.size)
    return _augment(dataset_dict, detection_utils.convert_PIL_to_numpy(image, image_format), augmentations)


def _check_size(dataset_dict: dict, found: tuple[int, int]) -> None:
    """Raise InputError if an image has another (width, height) than its annotation says."""
    annotated = (dataset_dict.get("width", found[0]), dataset_dict.get("height", found[1]))
    if found != annotated:
        problem = "the two are swapped; exchange" if found == annotated[::-1] else "correct"
        raise InputError(
            f"{dataset_dict['file_name']}: the image has {found[0]}x{found[1]} pixels, but its annotation says "
            f"{annotated[0]}x{annotated[1]}; {problem} 'width' and 'height', or use the image that was annotated."
        )


def _augment(
    dataset_dict: dict, image: np.ndarray, augmentations: T.AugmentationList
) -> tuple[np.ndarray, T.TransformList, dict]:
    """Return the augmented image [H, W, 3], the transforms and the record with the image as tensor [3, H, W]."""
    result = {"height": image.shape[0], "width": image.shape[1]} | dataset_dict
    augmented = T.AugInput(image)
    try:
        transforms = augmentations(augmented)
    except ValueError as error:
        raise InputError(
            f"{dataset_dict['file_name']}: {image.shape[1]}x{image.shape[0]} pixels cannot be augmented ({error}), "
            "most likely because one side shrinks to zero; leave the image out."
        ) from error
    image = augmented.image
    result["image"] = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return image, transforms, result
