"""Check one ground-truth annotation and complete its missing values."""

import reprlib
from typing import Any

import pycocotools.mask as mask_util

from detectron2_ext.data.segmentation import MaskChecker, box_of, is_number, to_rle


def complete_annotation(record: dict, image: dict, masks: MaskChecker) -> tuple[dict, str | None]:
    """Return the `bbox`, `area`, `iscrowd` and, if `record` has them, `ignore` and `segmentation` of an annotation.

    A missing `area` is computed from the mask, or from the box if there is no mask; a missing `iscrowd` means 0; a
    missing `bbox` is the bounding box of the mask. Other values are not changed, so that the metrics are those of the
    published tools: boxes and polygons that extend beyond the image, for instance, have a defined meaning there.

    Args:
        record: The annotation in COCO format; not modified.
        image: `width` and `height` of its image in pixels, None if the file does not give them.
        masks: Checks the masks of the file.

    Returns:
        The annotation, and what is wrong with the record with how to fix it, or None.
    """
    if not isinstance(record.get("iscrowd"), int | float | None):  # the string "0" would count as true
        return {}, f"has iscrowd {reprlib.repr(record['iscrowd'])}; give it as 0 or 1"
    completed: dict[str, Any] = {"iscrowd": int(bool(record.get("iscrowd", 0)))}
    if record.get("ignore"):
        completed["ignore"] = 1
    segmentation = record.get("segmentation")
    width, height = image["width"], image["height"]
    if segmentation is not None:
        if not isinstance(width, int) or not isinstance(height, int):
            return {}, "has a mask, but its image has no 'width' and 'height'; give them in pixels"
        problem = masks.problem(segmentation, height, width)
        if problem is not None:
            return {}, f"{problem}; correct the segmentation or leave it out"
        if isinstance(segmentation, dict):
            # A size of 480.0 passes the check, but the metric libraries only accept integers.
            segmentation = {**segmentation, "size": [height, width]}
        elif len(segmentation[0]) < 6:
            # Polygons of one or two points have no area. If the first one has four numbers, the libraries mistake it
            # for a box or fail.
            segmentation = [polygon for polygon in segmentation if len(polygon) >= 6] or None
    if segmentation is not None:
        completed["segmentation"] = segmentation
    box, problem = box_of(record, segmentation, height, width)
    if problem is not None:
        return {}, f"{problem}; give it as [x, y, width, height] in pixels"
    completed["bbox"] = box
    completed["area"] = record.get("area")
    if not is_number(completed["area"]):
        if segmentation is not None:
            completed["area"] = float(mask_util.area(to_rle(segmentation, height, width)))
        else:
            completed["area"] = float(box[2] * box[3])
    return completed, None
