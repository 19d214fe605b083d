"""Check one ground-truth annotation and complete its missing values."""

from typing import Any

import pycocotools.mask as mask_util

from detectron2_ext.data.segmentation import check_segmentation
from eva_backbone.errors import InputError

# A polygon may extend this many image sides beyond the image. The rasteriser stores every point of the outline, so a
# wrong coordinate far outside would exhaust the memory.
_MAX_IMAGE_SIDES = 10


def complete_annotation(record: dict, image: dict, where: str) -> dict:
    """Return the `bbox`, `area`, `iscrowd` and, if `record` has them, `ignore` and `segmentation` of an annotation.

    A missing `area` is computed from the mask, or from the box if there is no mask; a missing `iscrowd` means 0; a
    missing `bbox` is the bounding box of the mask.

    Args:
        record: The annotation in COCO format; not modified.
        image: `width` and `height` of its image in pixels, None if the file does not give them.
        where: File and annotation, for messages.

    Raises:
        InputError: The box, the mask or `iscrowd` is not valid.
    """
    if not isinstance(record.get("iscrowd"), int | float | None):  # the string "0" would count as true
        raise InputError(f"{where} has iscrowd {record['iscrowd']!r}; give it as 0 or 1.")
    completed: dict[str, Any] = {"iscrowd": int(bool(record.get("iscrowd", 0)))}
    if record.get("ignore"):
        completed["ignore"] = 1
    segmentation = _checked_mask(record.get("segmentation"), image, where)
    rle = None
    if segmentation is not None:
        completed["segmentation"] = segmentation
    area = record.get("area")
    if "bbox" not in record or not _is_number(area):
        rle = to_rle(segmentation, image) if segmentation is not None else None
    box = record.get("bbox")
    if box is None and rle is not None:
        box = mask_util.toBbox(rle).tolist()
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        raise InputError(f"{where} has bbox {box!r}; give it as [x, y, width, height] in pixels.")
    completed["bbox"] = box
    if not _is_number(area):
        area = float(mask_util.area(rle)) if rle is not None else float(box[2] * box[3])
    completed["area"] = area
    return completed


def _checked_mask(segmentation: Any, image: dict, where: str) -> list | dict | None:
    """Check a mask and return it, or None if there is none.

    Valid values are not changed, so that the metrics are those of the published tools: polygons that extend beyond the
    image, for instance, have a defined meaning there.
    """
    if not segmentation:
        return None
    width, height = image["width"], image["height"]
    if not isinstance(width, int) or not isinstance(height, int):
        raise InputError(f"{where} has a mask, but its image has no 'width' and 'height'; give them in pixels.")
    if isinstance(segmentation, dict):
        problem = check_segmentation(segmentation, height, width)[1]
        # A size of 480.0 passes the check, but the metric libraries only accept integers.
        segmentation = {**segmentation, "size": [height, width]}
    else:
        problem = _polygon_problem(segmentation, _MAX_IMAGE_SIDES * max(width, height))
    if problem:
        raise InputError(f"{where} {problem}; correct the segmentation or leave it out.")
    # Polygons of one or two points have no area. If the first one has four numbers, the libraries mistake it for a box
    # or fail.
    if isinstance(segmentation, list) and len(segmentation[0]) < 6:
        segmentation = [polygon for polygon in segmentation if len(polygon) >= 6] or None
    return segmentation


def _polygon_problem(polygons: object, limit: float) -> str | None:
    """Return what is wrong with the polygons, or None; `limit` is the largest allowed coordinate in pixels."""
    if not isinstance(polygons, list) or not all(isinstance(polygon, list) for polygon in polygons):
        return "has a segmentation that is neither a list of polygons nor an RLE"
    for polygon in polygons:
        try:
            # A sum is the fastest check: it fails for anything but numbers and is NaN if one of them is.
            is_numeric = _is_number(sum(polygon))
        except (TypeError, OverflowError):
            is_numeric = False
        if not is_numeric:
            return "has a polygon that is not a flat list of numbers [x0, y0, x1, y1, ...]"
        if polygon and (max(polygon) > limit or min(polygon) < -limit):
            return f"has a polygon that reaches {max(polygon, key=abs)} px, far outside its image"
    return None


def to_rle(segmentation: list | dict, image: dict) -> dict:
    """Return the compressed COCO RLE of a checked `segmentation` in an image of `width` and `height` pixels."""
    height, width = image["height"], image["width"]
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return mask_util.frPyObjects(segmentation, height, width)
    return segmentation


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e15  # False for NaN too
