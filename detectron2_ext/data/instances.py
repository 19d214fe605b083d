"""Build the ground-truth instances of an augmented image, including the case that no instance is left."""

import numpy as np
import torch
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks
from fvcore.transforms.transform import CropTransform

from eva_backbone.errors import InputError

from .polygon_clipping import clip_polygons


def make_instances(
    annotations: list[dict],
    transforms: T.TransformList,
    *,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    with_masks: bool,
    mask_format: str,
    recompute_boxes: bool,
    max_instances: int | None,
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
        max_instances: Keep at most this many instances, sampled from those in the augmented image; None keeps all.
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
    if max_instances is not None and len(annotations) > max_instances:
        annotations = _sample(annotations, transforms, output_size, max_instances)
    height, width = output_size
    transformed = [_transform(annotation, transforms, (height, width), with_masks) for annotation in annotations]
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


def _sample(
    annotations: list[dict], transforms: T.TransformList, output_size: tuple[int, int], max_instances: int
) -> list[dict]:
    """Sample annotations whose boxes are at least partly inside the augmented image, before masks take memory."""
    boxes = np.array([item["bbox"] for item in annotations], dtype=np.float64)
    modes = np.array([item["bbox_mode"] for item in annotations])
    for mode in set(modes.tolist()):
        boxes[modes == mode] = BoxMode.convert(boxes[modes == mode], BoxMode(mode), BoxMode.XYXY_ABS)
    boxes = transforms.apply_box(boxes)
    height, width = output_size
    inside = (boxes[:, :2] < (width, height)).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    indices = np.flatnonzero(inside)
    if len(indices) > max_instances:
        indices = np.sort(np.random.choice(indices, max_instances, replace=False))
    return [annotations[index] for index in indices]


def _transform(annotation: dict, transforms: T.TransformList, size: tuple[int, int], with_mask: bool) -> dict:
    """Return a transformed copy of an annotation."""
    copy = {key: annotation[key] for key in ("bbox", "bbox_mode", "category_id")}
    mask = annotation["segmentation"] if with_mask else None
    if isinstance(mask, dict):
        copy["segmentation"] = mask
    transformed = detection_utils.transform_instance_annotations(copy, transforms, size)
    if isinstance(mask, list):
        polygons = [np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in mask]
        for transform in transforms.transforms:
            if isinstance(transform, CropTransform):
                # Detectron2's own clipping loses parts of polygons that cross or touch themselves.
                polygons = clip_polygons(polygons, transform.x0, transform.y0, transform.w, transform.h)
            else:
                polygons = transform.apply_polygons(polygons)
        transformed["segmentation"] = [polygon.reshape(-1) for polygon in polygons]
    return transformed


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
