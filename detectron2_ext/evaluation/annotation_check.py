"""Checking one annotation of a ground truth, and supplying what it leaves out."""

from typing import Any

import pycocotools.mask as mask_util

from detectron2_ext.data.segmentation import check_segmentation
from eva_backbone.errors import InputError

# Rasterising walks along the outline, so a broken coordinate would cost its distance in memory.
_MAX_IMAGE_SIDES = 10


def complete_annotation(record: dict, image: dict, where: str) -> dict:
    """`bbox`, `area`, `iscrowd` and, where `record` has them, `ignore` and a readable `segmentation`.

    A missing `area` is computed from the mask, else from the box; a missing `iscrowd` means 0; a missing `bbox` is that
    of the mask.

    Args:
        image: its `width` and `height`, in pixels; None where the file has none.
        where: file and annotation, for messages.

    Raises:
        InputError: a box, mask or `iscrowd` that cannot be read.
    """
    if not isinstance(record.get("iscrowd"), int | float | None):  # the text "0" would be true
        raise InputError(f"{where} has iscrowd {record['iscrowd']!r}; give it as 0 or 1.")
    completed: dict[str, Any] = {"iscrowd": int(bool(record.get("iscrowd", 0)))}
    if record.get("ignore"):
        completed["ignore"] = 1
    segmentation = _readable_mask(record.get("segmentation"), image, where)
    rle = None
    if segmentation is not None:
        completed["segmentation"] = segmentation
    area = record.get("area")
    if "bbox" not in record or not _is_number(area):
        rle = to_run_lengths(segmentation, image) if segmentation is not None else None
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


def _readable_mask(segmentation: Any, image: dict, where: str) -> list | dict | None:
    """The mask as it is, None if there is none.

    The value is not mended: polygons that leave the image, or odd coordinates, have a defined meaning to the metrics.
    """
    if not segmentation:
        return None
    width, height = image["width"], image["height"]
    if not isinstance(width, int) or not isinstance(height, int):
        raise InputError(f"{where} has a mask, but its image has no 'width' and 'height'; give them in pixels.")
    if isinstance(segmentation, dict):
        problem = check_segmentation(segmentation, height, width)[1]
        segmentation = {**segmentation, "size": [height, width]}  # 480.0 is equal too, and the libraries refuse it
    else:
        problem = _polygon_problem(segmentation, _MAX_IMAGE_SIDES * max(width, height))
    if problem:
        raise InputError(f"{where} {problem}; correct the segmentation or leave it out.")
    # Two points or one are no region; the libraries read a first part of four numbers as a box, or fail.
    if isinstance(segmentation, list) and len(segmentation[0]) < 6:
        segmentation = [polygon for polygon in segmentation if len(polygon) >= 6] or None
    return segmentation


def _polygon_problem(polygons: object, limit: float) -> str | None:
    if not isinstance(polygons, list) or not all(isinstance(polygon, list) for polygon in polygons):
        return "has a segmentation that is neither a list of polygons nor an RLE"
    for polygon in polygons:
        try:
            readable = _is_number(sum(polygon))  # a sum finds what is no number, and NaN, fastest
        except (TypeError, OverflowError):
            readable = False
        if not readable:
            return "has a polygon that is not a flat list of numbers [x0, y0, x1, y1, ...]"
        if polygon and (max(polygon) > limit or min(polygon) < -limit):
            return f"has a polygon that reaches {max(polygon, key=abs)} px, far outside its image"
    return None


def to_run_lengths(segmentation: list | dict, image: dict) -> dict:
    """COCO's compressed run lengths of a readable `segmentation`; `image`: its `width` and `height`, in pixels."""
    height, width = image["height"], image["width"]
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return mask_util.frPyObjects(segmentation, height, width)
    return segmentation


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e15  # not of NaN either
