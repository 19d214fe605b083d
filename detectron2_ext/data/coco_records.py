"""Check the annotation records of a COCO-format file, and collect the usable ones."""

import reprlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from eva_engine.data.corrupt_data import RecordErrors

from .coco_file import is_id
from .coco_images import CheckedImages
from .coco_parts import AnnotationPart, BoxColumns, CocoParts
from .conventions import BoxStatistics
from .segmentation import MIN_POLYGON, MaskChecker, box_of, clip_segmentation
from .table_columns import TableBuilder


@dataclass
class RecordCounts:
    """Counts of the usable annotations of a file.

    Attributes:
        objects: {class index: usable annotations that are not crowd regions}.
        crowds: {class index: crowd regions}.
        without_mask: Annotations without a mask, crowd regions excluded.
        with_rle: Annotations with an RLE mask, crowd regions excluded.
        clipped_boxes: Boxes that were clipped to their image.
        short_polygons: Polygons of fewer than three points that were left out of a mask with others.
        boxes: Statistics that show how the boxes are written.
    """

    objects: Counter = field(default_factory=Counter)
    crowds: Counter = field(default_factory=Counter)
    without_mask: int = 0
    with_rle: int = 0
    clipped_boxes: int = 0
    short_polygons: int = 0
    boxes: BoxStatistics = field(default_factory=BoxStatistics)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as values of JSON."""
        return asdict(self) | {"objects": list(self.objects.items()), "crowds": list(self.crowds.items())}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RecordCounts":
        """Return the counts that `to_json` was given."""
        counters = {name: Counter(dict(content[name])) for name in ("objects", "crowds")}
        return cls(**content | counters | {"boxes": BoxStatistics(**content["boxes"])})


class AnnotationCheck:
    """Checks the annotations of a file and adds those that are usable to a table.

    Args:
        parts: The file.
        images: Its usable images.
        class_indices: {category id: contiguous class index}, by ascending id.
        errors: Collects or raises the errors of bad records.
        builder: Collects the usable annotations.
    """

    def __init__(
        self,
        parts: CocoParts,
        images: CheckedImages,
        class_indices: Mapping[int, int],
        errors: RecordErrors,
        builder: TableBuilder,
    ) -> None:
        self.counts = RecordCounts()
        self._parts, self._images, self._errors, self._builder = parts, images, errors, builder
        self._class_indices = class_indices
        self._category_ids = np.array(list(class_indices), dtype=np.int64)
        self._masks = MaskChecker()
        self._is_repeated = _repeated(parts.ids, parts.has_id)

    def run(self) -> RecordCounts:
        """Check all annotations in the order of the file, and return their counts."""
        first = 0
        remaining = self._parts.parts
        remaining.reverse()
        while remaining:
            part = remaining.pop()  # so that its columns are not in memory next to those of the table
            rows = slice(first, first + part.size)
            first += part.size
            if part.columns is None:
                for number, record in enumerate(self._parts.records(part), start=rows.start):
                    self._check(number, record)
            else:
                self._check_columns(rows, part, part.columns)
        return self.counts

    def _check_columns(self, rows: slice, part: AnnotationPart, columns: BoxColumns) -> None:
        """Check ordinary boxes together; those that have a problem are then checked one by one, for its message."""
        images, ids = self._images, self._parts.ids[rows]
        image, is_bad = images.rows(columns.image_id), images.are_bad(columns.image_id)
        is_good = ~self._is_repeated[rows] & (image >= 0)
        category = np.zeros(len(ids), dtype=np.int64)
        if len(self._category_ids):
            category = np.searchsorted(self._category_ids, columns.category_id)
            category = np.minimum(category, len(self._category_ids) - 1)
            is_good &= self._category_ids[category] == columns.category_id
        else:
            is_good[:] = False
        widths, heights = images.widths[image], images.heights[image]
        clipped, is_valid, is_clipped = _clip_boxes(columns.box, widths, heights)
        is_good &= is_valid
        problems = np.flatnonzero(~is_good & ~is_bad | self._is_repeated[rows])
        if len(problems):
            records = self._parts.records(part)
            for number in problems.tolist():
                self._check(rows.start + number, records[number])
        good = np.flatnonzero(is_good)
        image, category, is_crowd = image[good], category[good], columns.is_crowd[good]
        self._builder.add_boxes(image, ids[good], category, is_crowd, clipped[good])
        counts = self.counts
        _count(counts.objects, category[is_crowd == 0])
        _count(counts.crowds, category[is_crowd == 1])
        counts.clipped_boxes += int(is_clipped[good].sum())
        objects = good[is_crowd == 0]
        counts.without_mask += len(objects)
        counts.boxes.add_boxes(columns.box[objects], image[is_crowd == 0], widths[objects], heights[objects])

    def _check(self, number: int, record: dict) -> None:
        """Check the annotation with this number in the file."""
        errors, images = self._errors, self._images
        annotation_id = record.get("id")
        if not self._parts.has_id[number]:
            errors.add(f"annotation number {number}", f"has id {reprlib.repr(annotation_id)}", "give it an integer id")
            return
        name = f"annotation {annotation_id}"
        if self._is_repeated[number]:
            errors.add(name, "is listed twice", "give every annotation its own id")
            return
        image_id, category_id = record.get("image_id"), record.get("category_id")
        row = -1
        if is_id(image_id):
            if images.are_bad(np.array([image_id]))[0]:
                return
            row = int(images.rows(np.array([image_id]))[0])
        if row < 0:
            errors.add(name, f"has image_id {reprlib.repr(image_id)}, which no image has", "correct it")
            return
        path = images.path(row)
        if not is_id(category_id) or category_id not in self._class_indices:
            found = f"has category_id {reprlib.repr(category_id)}, which no category has"
            errors.add(name, found, "correct it or add the category", path)
            return
        if not isinstance(record.get("iscrowd"), int | float | None):  # the string "0" would count as true
            errors.add(name, f"has iscrowd {reprlib.repr(record['iscrowd'])}", "give it as 0 or 1")
            return
        height, width = int(images.heights[row]), int(images.widths[row])
        record_name = f"{name} (image {image_id})"
        segmentation, mask = record.get("segmentation"), None
        problem = None if segmentation is None else self._masks.problem(segmentation, height, width)
        if segmentation is not None and problem is None:
            mask, problem = clip_segmentation(segmentation, height, width)
        if problem is not None:
            errors.add(record_name, problem, "correct the segmentation or leave it out", path)
            return
        given_box, problem = box_of(record, mask, height, width)
        if problem is None:
            box, problem = _clip_box(given_box, height, width)
        if problem is not None:
            errors.add(record_name, problem, "correct the box, [x, y, width, height] in pixels", path)
            return
        class_index, crowd = self._class_indices[category_id], 1 if record.get("iscrowd") else 0
        counts = self.counts
        (counts.crowds if crowd else counts.objects)[class_index] += 1
        counts.clipped_boxes += box is not given_box
        if isinstance(segmentation, list):
            counts.short_polygons += sum(len(polygon) < MIN_POLYGON for polygon in segmentation)
        if not crowd:
            counts.without_mask += mask is None
            counts.with_rle += isinstance(mask, dict)
            counts.boxes.add(given_box, mask, row, width, height)
        self._builder.add(row, record["id"], class_index, crowd, box, mask)


def _count(counter: Counter, classes: np.ndarray) -> None:
    """Count class indices; a counter has them in the order in which they first occur."""
    per_class = np.bincount(classes)
    found = np.flatnonzero(per_class).tolist()
    if any(index not in counter for index in found):
        found = list(dict.fromkeys(classes.tolist()))
    for index in found:
        counter[index] += int(per_class[index])


def _repeated(ids: np.ndarray, has_id: np.ndarray) -> np.ndarray:
    """Return for each id whether it occurs earlier; those that are not valid are not compared."""
    is_repeated = np.zeros(len(ids), dtype=bool)
    if has_id.all() and (ids[1:] > ids[:-1]).all():  # the usual file, without sorting
        return is_repeated
    rows = np.flatnonzero(has_id)
    order = rows[np.argsort(ids[rows], kind="stable")]
    is_repeated[order[1:][ids[order[1:]] == ids[order[:-1]]]] = True
    return is_repeated


def _clip_boxes(
    boxes: np.ndarray, widths: np.ndarray, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clip boxes [N, 4] like `_clip_box`; return the result, whether each is valid, and whether each was clipped."""
    x, y, w, h = boxes.T
    is_inside = (x >= 0) & (y >= 0) & (x + w <= widths) & (y + h <= heights)
    left, top = np.maximum(x, 0), np.maximum(y, 0)
    right, bottom = np.minimum(x + w, widths), np.minimum(y + h, heights)
    is_valid = (w > 0) & (h > 0) & (is_inside | (right > left) & (bottom > top))
    clipped = np.stack([left, top, right - left, bottom - top], axis=1)
    return np.where(is_inside[:, None], boxes, clipped), is_valid, ~is_inside


def _clip_box(box: list, height: int, width: int) -> tuple[list, str | None]:
    """Return the part of a box inside the image, `box` itself if that is all of it, and a problem or None."""
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return box, f"has a box of {'negative' if w < 0 or h < 0 else 'zero'} size, {box}"
    if x >= 0 and y >= 0 and x + w <= width and y + h <= height:
        return box, None
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        return box, f"has a box outside its {width}x{height} image, {box}"
    return [left, top, right - left, bottom - top], None
