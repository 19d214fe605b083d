"""Checking the image and annotation records of a COCO-format file, and turning them into Detectron2's."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from detectron2.structures import BoxMode
from PIL import Image

from eva_engine.data.record_errors import RecordErrors

from .coco_file import is_id, is_side
from .segmentation import check_segmentation


@dataclass
class RecordCounts:
    """What was met while checking the annotations."""

    annotations: int = 0
    crowd: int = 0
    without_mask: int = 0  # crowd regions not counted
    with_rle: int = 0  # crowd regions not counted
    clipped_boxes: int = 0
    completed: int = 0  # `area` or `iscrowd` was missing, or the id is 0


def check_images(records: list[dict], image_root: str, errors: RecordErrors) -> dict[int, dict]:
    """Image id -> ``{file_name, height, width, image_id, annotations: []}``, by ascending id.

    Bad: an id that is not an integer or given twice, no file name, a side that is not a positive integer, more pixels
    than Pillow would decode, or a file that does not exist.
    """
    images: dict[int, dict] = {}
    listing = _DirectoryListing()
    max_pixels = 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else math.inf
    for index, record in enumerate(records):
        image_id, file_name = record.get("id"), record.get("file_name")
        width, height = record.get("width"), record.get("height")
        if not is_id(image_id):
            errors.add(f"image number {index}", f"has id {image_id!r}", "give it an integer id")
        elif image_id in images:
            errors.add(f"image {image_id}", "is listed twice", "give every image its own id")
        elif not isinstance(file_name, str) or not file_name:
            errors.add(f"image {image_id}", f"has file_name {file_name!r}", "name its file")
        elif not (is_side(width) and is_side(height)):
            errors.add(f"image {image_id}", f"has size {width!r}x{height!r}", "give 'width' and 'height' in pixels")
        elif width * height > max_pixels:
            errors.add(f"image {image_id}", f"has {width}x{height} pixels, the limit is {max_pixels}", "tile it")
        elif (path := os.path.join(image_root, file_name)) and not listing.has(path):
            errors.add(f"image {image_id}", f"is missing: no file {path}", "check the image folder")
        else:
            images[image_id] = {
                "file_name": path,
                "height": height,
                "width": width,
                "image_id": image_id,
                "annotations": [],
            }
    return dict(sorted(images.items()))


def check_annotations(
    records: list[dict], images: dict[int, dict], bad_images: set, classes: Mapping[int, int], errors: RecordErrors
) -> RecordCounts:
    """Appends every good annotation to its image, with its COCO `id` and `area` (None if it has to be computed).

    Args:
        bad_images: ids of images left out; their annotations follow them without another sentence.
        classes: category id -> contiguous class index.
    """
    counts = RecordCounts()
    seen: set[int] = set()
    for index, record in enumerate(records):
        annotation_id = record.get("id")
        if not is_id(annotation_id):
            errors.add(f"annotation number {index}", f"has id {annotation_id!r}", "give it an integer id")
            continue
        name = f"annotation {annotation_id}"
        if annotation_id in seen:
            errors.add(name, "is listed twice", "give every annotation its own id")
            continue
        seen.add(annotation_id)
        image_id, category_id = record.get("image_id"), record.get("category_id")
        image = images.get(image_id) if is_id(image_id) else None
        if image is None:
            if not (is_id(image_id) and image_id in bad_images):
                errors.add(name, f"has image_id {image_id!r}, which no image has", "correct it")
            continue
        if not is_id(category_id) or category_id not in classes:
            errors.add(
                name, f"has category_id {category_id!r}, which no category has", "correct it or add the category"
            )
            continue
        if not isinstance(record.get("iscrowd"), int | float | None):  # the text "0" would be true
            errors.add(name, f"has iscrowd {record['iscrowd']!r}", "give it as 0 or 1")
            continue
        box, problem = _check_box(record.get("bbox"), image["height"], image["width"])
        if box is None:
            errors.add(f"{name} (image {image_id})", str(problem), "correct the box, [x, y, width, height] in pixels")
            continue
        mask, problem = check_segmentation(record.get("segmentation"), image["height"], image["width"])
        if problem is not None:
            errors.add(f"{name} (image {image_id})", problem, "correct the segmentation or leave it out")
            continue
        image["annotations"].append(_annotation(record, box, mask, classes[category_id], counts))
    return counts


def _annotation(record: dict, box: list, mask: list | dict | None, class_index: int, counts: RecordCounts) -> dict:
    crowd = 1 if record.get("iscrowd") else 0
    area = record.get("area")
    counts.annotations += 1
    counts.crowd += crowd
    counts.without_mask += mask is None and not crowd
    counts.with_rle += isinstance(mask, dict) and not crowd
    counts.clipped_boxes += box is not record["bbox"]
    if not _is_number(area):
        area = None
    counts.completed += area is None or "iscrowd" not in record or record["id"] == 0
    annotation = {
        "id": record["id"],
        "bbox": box,
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": class_index,
        "iscrowd": crowd,
        "area": area,
    }
    if mask is not None:
        annotation["segmentation"] = mask
    return annotation


def _check_box(box: object, height: int, width: int) -> tuple[list | None, str | None]:
    """The box itself if it lies inside the image, else its part inside; or None and what is wrong."""
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(side) for side in box):
        return None, f"has bbox {box!r}"
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return None, f"has a box of zero size, {box}"
    if x >= 0 and y >= 0 and x + w <= width and y + h <= height:
        return box, None
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        return None, f"has a box outside its {width}x{height} image, {box}"
    return [left, top, right - left, bottom - top], None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9  # false for NaN too


class _DirectoryListing:
    """Whether files exist, listing each directory once: a call per file is slow on network drives."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def has(self, path: str) -> bool:
        if "://" in path:
            return True
        directory, name = os.path.split(path)
        if directory not in self._names:
            try:
                self._names[directory] = set(os.listdir(directory or "."))
            except (OSError, ValueError):  # of no such folder, or of a name that none can have
                self._names[directory] = set()
        return name in self._names[directory]
