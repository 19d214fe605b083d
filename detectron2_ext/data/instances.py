"""Ground truth of one augmented image, complete also when nothing is left of it."""

import numpy as np
import torch
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks

from eva_backbone.errors import InputError


def make_instances(
    annotations: list[dict],
    transforms: T.TransformList,
    *,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    with_masks: bool,
    mask_format: str,
    recompute_boxes: bool,
    source: str,
) -> Instances:
    """Transforms annotations (left unchanged) with their image; crowd regions and emptied instances are dropped.

    Args:
        image_size, output_size: (height, width) before and after ``transforms``.
        mask_format: ``"polygon"`` or ``"bitmask"``; bitmask is taken where an instance has an RLE.
        recompute_boxes: replace boxes by the tight boxes of the cropped masks.
        source: the image file, for messages.

    Returns:
        N >= 0 `Instances` with ``gt_boxes`` [N, 4] XYXY in pixels, ``gt_classes`` [N] and, if ``with_masks``,
        ``gt_masks`` (`PolygonMasks` or `BitMasks`).

    Raises:
        InputError: masks are wanted and an instance has none, or its RLE has another size than the image.
    """
    annotations = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    if with_masks:
        _check_masks(annotations, image_size, source)
        if any(isinstance(annotation["segmentation"], dict) for annotation in annotations):
            mask_format = "bitmask"
    transformed = [
        detection_utils.transform_instance_annotations(_copy(annotation, with_masks), transforms, tuple(output_size))
        for annotation in annotations
    ]
    if not transformed:
        return _no_instances(output_size, with_masks, mask_format)
    instances = detection_utils.annotations_to_instances(transformed, tuple(output_size), mask_format=mask_format)
    if recompute_boxes:
        # A box that fits the object no longer fits what a crop left of it.
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
    return detection_utils.filter_empty_instances(instances)


def _no_instances(size: tuple[int, int], with_masks: bool, mask_format: str) -> Instances:
    instances = Instances(tuple(size))
    instances.gt_boxes = Boxes(torch.zeros(0, 4))
    instances.gt_classes = torch.zeros(0, dtype=torch.int64)
    if with_masks:
        empty = torch.zeros(0, *size, dtype=torch.bool)
        instances.gt_masks = PolygonMasks([]) if mask_format == "polygon" else BitMasks(empty)
    return instances


def _copy(annotation: dict, with_mask: bool) -> dict:
    """A copy that transforms may change: some work in place on the points."""
    keys = ("bbox", "bbox_mode", "category_id", "segmentation") if with_mask else ("bbox", "bbox_mode", "category_id")
    copy = {key: annotation[key] for key in keys}
    if with_mask and isinstance(copy["segmentation"], list):
        copy["segmentation"] = [np.array(polygon, dtype=np.float64) for polygon in copy["segmentation"]]
    return copy


def _check_masks(annotations: list[dict], image_size: tuple[int, int], source: str) -> None:
    for index, annotation in enumerate(annotations):
        mask = annotation.get("segmentation")
        if not mask:
            raise InputError(
                f"{source}: annotation number {index} of this image has no mask, which the mask head needs; "
                "add the mask, or train a box-only model (use_instance_mask=False)."
            )
        if isinstance(mask, dict) and tuple(mask["size"]) != tuple(image_size):
            raise InputError(
                f"{source}: annotation number {index} of this image has an RLE of size {list(mask['size'])}, "
                f"expected {list(image_size)}; correct the annotation."
            )
