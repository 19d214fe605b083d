"""Build the ground-truth instances of an augmented image, including the case that no instance is left."""

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
    """Apply the transforms of an image to its annotations; crowd regions and instances that become empty are dropped.

    Args:
        annotations: Annotations of a Detectron2 dataset dict; not modified.
        transforms: Transforms that were applied to the image.
        image_size: (height, width) before the transforms.
        output_size: (height, width) after the transforms.
        with_masks: Whether to build masks.
        mask_format: "polygon" or "bitmask"; an image with an RLE mask always gets bitmasks.
        recompute_boxes: Replace each box with the bounding box of the cropped mask.
        source: The image file, for messages.

    Returns:
        N >= 0 `Instances` with `gt_boxes` [N, 4] (x0, y0, x1, y1 in pixels), `gt_classes` [N] and, if `with_masks`,
        `gt_masks` (`PolygonMasks` or `BitMasks`).

    Raises:
        InputError: Masks are required and an instance has none, or its RLE does not have the size of the image.
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
        # The box of the whole object is too large for the part that is left after a crop.
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
    """Copy an annotation, because some transforms modify the points of polygons in place."""
    copy = {key: annotation[key] for key in ("bbox", "bbox_mode", "category_id")}
    if with_mask:
        mask = annotation["segmentation"]
        if isinstance(mask, list):
            mask = [np.array(polygon, dtype=np.float64) for polygon in mask]
        copy["segmentation"] = mask
    return copy


def _check_masks(annotations: list[dict], image_size: tuple[int, int], source: str) -> None:
    """Check that every annotation has a mask and that RLE masks have the size of the image."""
    for index, annotation in enumerate(annotations):
        mask = annotation.get("segmentation")
        if not mask:
            raise InputError(
                f"{source}: annotation number {index} of this image has no mask, but the mask head needs one; "
                "add the mask, or train a box-only model (use_instance_mask=False)."
            )
        if isinstance(mask, dict) and tuple(mask["size"]) != tuple(image_size):
            raise InputError(
                f"{source}: annotation number {index} of this image has an RLE of size {list(mask['size'])}, "
                f"expected {list(image_size)}; correct the annotation."
            )
