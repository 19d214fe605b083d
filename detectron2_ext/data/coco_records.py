"""Check the image and annotation records of a COCO-format file and convert them to Detectron2's."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from detectron2.structures import BoxMode

from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.image_checks import MAX_PIXELS

from .coco_file import is_id, is_side
from .segmentation import check_segmentation


@dataclass
class RecordCounts:
    """Counts of the usable annotations of a file.

    Attributes:
        annotations: All usable annotations.
        crowd: Crowd regions among them.
        without_mask: Annotations without a mask, crowd regions excluded.
        with_rle: Annotations with an RLE mask, crowd regions excluded.
        clipped_boxes: Boxes that were clipped to their image.
        completed: Annotations whose `area` or `iscrowd` was missing or whose id is 0.
    """

    annotations: int = 0
    crowd: int = 0
    without_mask: int = 0
    with_rle: int = 0
    clipped_boxes: int = 0
    completed: int = 0


def check_images(records: list[dict], image_root: str, errors: RecordErrors) -> dict[int, dict]:
    """Return {image id: Detectron2 dataset dict without annotations} in ascending order of the ids.

    A record is bad if its id is not an integer or is given twice, if it has no file name, if a side is not a positive
    integer, if it has more than `MAX_PIXELS` pixels, or if the file does not exist.

    Args:
        records: The list `images` of the file.
        image_root: Folder that the file names are relative to.
        errors: Collects or raises the errors of bad records.
    """
    images: dict[int, dict] = {}
    listing = _DirectoryListing()
    for index, record in enumerate(records):
        image_id, file_name = record.get("id"), record.get("file_name")
        width, height = record.get("width"), record.get("height")
        if not is_id(image_id):
            errors.add(f"image number {index}", f"has id {image_id!r}", "give it an integer id")
            continue
        name = f"image {image_id}"
        if image_id in images:
            errors.add(name, "is listed twice", "give every image its own id")
            continue
        if not isinstance(file_name, str) or not file_name:
            errors.add(name, f"has file_name {file_name!r}", "give the name of its file")
            continue
        if not (is_side(width) and is_side(height)):
            errors.add(name, f"has size {width!r}x{height!r}", "give 'width' and 'height' in pixels")
            continue
        if width * height > MAX_PIXELS:
            errors.add(name, f"has {width}x{height} pixels, the limit is {MAX_PIXELS:,}", "tile it")
            continue
        path = os.path.join(image_root, file_name)
        if not listing.has(path):
            errors.add(name, f"is missing: no file {path}", "check the image folder")
            continue
        images[image_id] = {
            "file_name": path,
            "height": height,
            "width": width,
            "image_id": image_id,
            "annotations": [],
        }
    return dict(sorted(images.items()))


def check_annotations(
    records: list[dict],
    images: dict[int, dict],
    bad_images: set[int],
    class_indices: Mapping[int, int],
    errors: RecordErrors,
) -> RecordCounts:
    """Append every usable annotation to its image, with its COCO `id` and `area` (None if it must be computed).

    Args:
        records: The list `annotations` of the file.
        images: Result of `check_images`; modified in place.
        bad_images: Ids of listed images that are not usable; their annotations are dropped without a further message.
        class_indices: {category id: contiguous class index}.
        errors: Collects or raises the errors of bad records.
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
        if is_id(image_id) and image_id in bad_images:
            continue
        if not is_id(image_id) or image_id not in images:
            errors.add(name, f"has image_id {image_id!r}, which no image has", "correct it")
            continue
        image = images[image_id]
        if not is_id(category_id) or category_id not in class_indices:
            errors.add(
                name, f"has category_id {category_id!r}, which no category has", "correct it or add the category"
            )
            continue
        if not isinstance(record.get("iscrowd"), int | float | None):  # the string "0" would count as true
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
        image["annotations"].append(_annotation(record, box, mask, class_indices[category_id], counts))
    return counts


def _annotation(record: dict, box: list, mask: list | dict | None, class_index: int, counts: RecordCounts) -> dict:
    """Convert a checked record to Detectron2's format and add it to the counts."""
    crowd = 1 if record.get("iscrowd") else 0
    area = record.get("area") if _is_number(record.get("area")) else None
    counts.annotations += 1
    counts.crowd += crowd
    if not crowd and mask is None:
        counts.without_mask += 1
    if not crowd and isinstance(mask, dict):
        counts.with_rle += 1
    if box is not record["bbox"]:
        counts.clipped_boxes += 1
    if area is None or "iscrowd" not in record or record["id"] == 0:
        counts.completed += 1
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
    """Return `(box, None)` or `(None, problem)`; a box that leaves the image is returned as a clipped copy."""
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
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
    return isinstance(value, int | float) and abs(value) < 1e9  # False for NaN too


class _DirectoryListing:
    """Look up whether files exist by listing each directory once: one call per file is slow on network drives."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def has(self, path: str) -> bool:
        if "://" in path:  # a URL, which is not checked
            return True
        directory, name = os.path.split(path)
        if directory not in self._names:
            try:
                self._names[directory] = set(os.listdir(directory or "."))
            except (OSError, ValueError):  # the folder does not exist, or no folder can have this name
                self._names[directory] = set()
        return name in self._names[directory]
