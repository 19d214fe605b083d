"""Check the image and annotation records of a COCO-format file and convert them to Detectron2's."""

import os
import reprlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from detectron2.structures import BoxMode

from eva_engine.data.corrupt_data import RecordErrors

from .coco_file import is_id, size_problem, with_ids
from .conventions import BoxStatistics
from .image_paths import is_inside
from .segmentation import MaskChecker, box_of, clip_segmentation


@dataclass
class RecordCounts:
    """Counts of the usable annotations of a file.

    Attributes:
        objects: {class index: usable annotations that are not crowd regions}.
        crowds: {class index: crowd regions}.
        without_mask: Annotations without a mask, crowd regions excluded.
        with_rle: Annotations with an RLE mask, crowd regions excluded.
        clipped_boxes: Boxes that were clipped to their image.
        boxes: Statistics that show how the boxes are written.
    """

    objects: Counter = field(default_factory=Counter)
    crowds: Counter = field(default_factory=Counter)
    without_mask: int = 0
    with_rle: int = 0
    clipped_boxes: int = 0
    boxes: BoxStatistics = field(default_factory=BoxStatistics)


def check_images(records: list[dict], image_root: str, errors: RecordErrors) -> dict[int, dict]:
    """Return {image id: Detectron2 dataset dict without annotations} in ascending order of the ids.

    A record is bad if its id is not an integer or is given twice, if its file name is missing, an address or outside
    of the image folder, if its size is not valid (see `size_problem`), or if the file does not exist. Backslashes in a
    file name separate folders if the file exists that way.

    Args:
        records: The list `images` of the file.
        image_root: Folder that the file names are relative to.
        errors: Collects or raises the errors of bad records.
    """
    images: dict[int, dict] = {}
    listing = _DirectoryListing()
    for image_id, record in with_ids(records, "image", is_id, errors):
        name = f"image {image_id}"
        file_name, width, height = record.get("file_name"), record.get("width"), record.get("height")
        if not isinstance(file_name, str) or not file_name:
            errors.add(name, f"has file_name {reprlib.repr(file_name)}", "give the name of its file")
            continue
        problem = size_problem(width, height)
        if problem is not None:
            errors.add(name, *problem.split("; "))
            continue
        path = os.path.join(image_root, file_name)
        if not is_inside(path, image_root):
            errors.add(
                name,
                f"has file_name {file_name!r}, an address or a path outside of the image folder",
                "put the image into the folder and give its path from there",
            )
            continue
        if not listing.has(path):
            path = os.path.join(image_root, file_name.replace("\\", "/"))
        if not listing.has(path):
            errors.add(name, f"is missing: no file {os.path.join(image_root, file_name)}", "check the image folder")
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
    """Append every usable annotation to its image.

    Args:
        records: The list `annotations` of the file.
        images: Result of `check_images`; modified in place.
        bad_images: Ids of listed images that are not usable; their annotations are dropped without a further message.
        class_indices: {category id: contiguous class index}.
        errors: Collects or raises the errors of bad records.
    """
    counts = RecordCounts()
    masks = MaskChecker()
    for annotation_id, record in with_ids(records, "annotation", is_id, errors):
        name = f"annotation {annotation_id}"
        image_id, category_id = record.get("image_id"), record.get("category_id")
        if is_id(image_id) and image_id in bad_images:
            continue
        if not is_id(image_id) or image_id not in images:
            errors.add(name, f"has image_id {reprlib.repr(image_id)}, which no image has", "correct it")
            continue
        image = images[image_id]
        if not is_id(category_id) or category_id not in class_indices:
            found = f"has category_id {reprlib.repr(category_id)}, which no category has"
            errors.add(name, found, "correct it or add the category", image["file_name"])
            continue
        if not isinstance(record.get("iscrowd"), int | float | None):  # the string "0" would count as true
            errors.add(name, f"has iscrowd {reprlib.repr(record['iscrowd'])}", "give it as 0 or 1")
            continue
        height, width = image["height"], image["width"]
        record_name = f"{name} (image {image_id})"
        segmentation, mask = record.get("segmentation"), None
        problem = None if segmentation is None else masks.problem(segmentation, height, width)
        if segmentation is not None and problem is None:
            mask, problem = clip_segmentation(segmentation, height, width)
        if problem is not None:
            errors.add(record_name, problem, "correct the segmentation or leave it out", image["file_name"])
            continue
        given_box, problem = box_of(record, mask, height, width)
        if problem is None:
            box, problem = _clip_box(given_box, height, width)
        if problem is not None:
            errors.add(record_name, problem, "correct the box, [x, y, width, height] in pixels", image["file_name"])
            continue
        class_index, crowd = class_indices[category_id], 1 if record.get("iscrowd") else 0
        (counts.crowds if crowd else counts.objects)[class_index] += 1
        counts.clipped_boxes += box is not given_box
        if not crowd:
            counts.without_mask += mask is None
            counts.with_rle += isinstance(mask, dict)
            counts.boxes.add(given_box, mask, image)
        annotation = {
            "id": annotation_id,
            "bbox": box,
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": class_index,
            "iscrowd": crowd,
        }
        if mask is not None:
            annotation["segmentation"] = mask
        image["annotations"].append(annotation)
    return counts


def _clip_box(box: list, height: int, width: int) -> tuple[list, str | None]:
    """Return the part of a box inside the image, `box` itself if that is all of it, and a problem or None."""
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return box, f"has a box of zero size, {box}"
    if x >= 0 and y >= 0 and x + w <= width and y + h <= height:
        return box, None
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        return box, f"has a box outside its {width}x{height} image, {box}"
    return [left, top, right - left, bottom - top], None


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
