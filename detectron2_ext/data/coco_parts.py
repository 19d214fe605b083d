"""Read a COCO-format file of any size in parts: ordinary boxes become columns, other annotations are read again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from eva_engine.json_parts import ListPart, read_elements, read_members

from .coco_file import (
    FIX,
    check_exists,
    is_id,
    missing_list,
    not_a_list,
    not_an_object,
    report_negative_areas,
    unify_record,
)

_LARGEST = 1e15  # of a coordinate, as in `is_number`


@dataclass(frozen=True)
class BoxColumns:
    """Annotations that consist of ordinary values, without masks; see `plain_columns`.

    Attributes:
        image_id: [N] int64.
        category_id: [N] int64.
        is_crowd: [N] uint8, 0 or 1.
        box: x, y, width and height as the file has them, [N, 4] float64.
    """

    image_id: np.ndarray
    category_id: np.ndarray
    is_crowd: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class AnnotationPart:
    """Consecutive annotations of the file.

    Attributes:
        size: Number of annotations.
        start: Position in the file in bytes.
        end: Position of their end.
        columns: Their values, or None if some are not ordinary.
    """

    size: int
    start: int
    end: int
    columns: BoxColumns | None


@dataclass
class CocoParts:
    """Content of a COCO-format file, with annotations in parts.

    Attributes:
        path: The file.
        images: `id`, `file_name`, `width` and `height` of each record of `images`, unchecked.
        categories: The list `categories`.
        parts: The list `annotations`.
        ids: Id of each annotation, [N] int64; 0 where it is not valid.
        has_id: Whether the id of each annotation is an integer of at most 64 bits, [N].
        used_categories: Ids of the categories that annotations name.
        num_negative: Number of annotations with a negative area.
    """

    path: Path
    images: list[tuple] = field(default_factory=list)
    categories: list[dict] = field(default_factory=list)
    parts: list[AnnotationPart] = field(default_factory=list)
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    has_id: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    used_categories: set[int] = field(default_factory=set)
    num_negative: int = 0

    def records(self, part: AnnotationPart) -> list[dict]:
        """Read the annotations of a part again, with the spellings that `read_coco_file` gives them."""
        # orjson has the same ordinary values as json, and is faster.
        records = read_elements(self.path, part.start, part.end, FIX, exact=part.columns is None)
        for record in records:
            unify_record("annotations", record)
        return records


def read_coco_parts(json_file: str | Path, hint: str = "check the path") -> CocoParts:
    """Read a COCO-format file; see `read_coco_file` for the arguments and errors."""
    path = Path(json_file)
    check_exists(path, hint)
    reading = _Reading(CocoParts(path))
    for key, value in read_members(path, "annotation file", FIX):
        if key is None:
            raise not_an_object(path, value.value)  # type: ignore[union-attr]  # never a list
        if key in reading.is_list:
            reading.add(key, value)
    for key, is_list in reading.is_list.items():
        if is_list is None:
            raise missing_list(path, key)
        if not is_list:
            raise not_a_list(path, key)
    return reading.finish()


class _Reading:
    def __init__(self, found: CocoParts) -> None:
        self.found = found
        # In the order in which they are checked; None until the file has the value.
        self.is_list: dict[str, bool | None] = {"images": None, "annotations": None, "categories": None}
        self._ids: list[np.ndarray] = []
        self._has_id: list[np.ndarray] = []

    def add(self, key: str, part: object) -> None:
        if not isinstance(part, ListPart):
            self.is_list[key] = False
            return
        if part.is_first:
            self._reset(key)
        if set(map(type, part.elements)) - {dict}:
            self.is_list[key] = False
        elif key == "images":
            self._add_images(part)
        elif key == "annotations":
            self._add_annotations(part)
        else:
            self.found.categories += self._exact(key, part)

    def finish(self) -> CocoParts:
        found = self.found
        if self._ids:
            found.ids, found.has_id = np.concatenate(self._ids), np.concatenate(self._has_id)
        report_negative_areas(str(found.path), found.num_negative, len(found.ids))
        return found

    def _reset(self, key: str) -> None:
        """Forget a list that is replaced by a later one of the same name, as in `json`."""
        self.is_list[key] = True
        getattr(self.found, "parts" if key == "annotations" else key).clear()
        if key == "annotations":
            self._ids, self._has_id = [], []
            self.found.used_categories.clear()
            self.found.num_negative = 0

    def _exact(self, key: str, part: ListPart) -> list[dict]:
        elements = part.elements if part.is_exact else read_elements(self.found.path, part.start, part.end, FIX)
        self.found.num_negative += sum(unify_record(key, record) for record in elements)
        return elements

    def _add_images(self, part: ListPart) -> None:
        rows = [_image_row(record) for record in part.elements]
        if set(map(type, chain.from_iterable(rows))) - {int, str}:
            rows = [_image_row(record) for record in self._exact("images", part)]
        self.found.images += rows

    def _add_annotations(self, part: ListPart) -> None:
        columns = plain_columns(part.elements)
        ids = _integers([record.get("id") for record in part.elements])
        categories = [record.get("category_id") for record in part.elements]
        if ids is None or _integers(categories) is None:
            records = self._exact("annotations", part)
            has_id = np.array([is_id(record.get("id")) for record in records], dtype=bool)
            values = [record["id"] if valid else 0 for record, valid in zip(records, has_id, strict=True)]
            ids = np.array(values, dtype=np.int64)
            categories = [record.get("category_id") for record in records if is_id(record.get("category_id"))]
            columns = None
        else:
            has_id = np.ones(len(ids), dtype=bool)
            areas = [record["area"] for record in part.elements if "area" in record]
            self.found.num_negative += sum(isinstance(area, int | float) and area < 0 for area in areas)
        self._ids.append(ids)
        self._has_id.append(has_id)
        self.found.used_categories.update(categories)
        self.found.parts.append(AnnotationPart(len(ids), part.start, part.end, columns))


def _image_row(record: dict) -> tuple:
    return record.get("id"), record.get("file_name"), record.get("width"), record.get("height")


def _integers(values: Sequence) -> np.ndarray | None:
    """Return integers of at most 64 bits as an array, or None if there is another value."""
    if set(map(type, values)) - {int}:
        return None
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        return None


def plain_columns(records: list[dict]) -> BoxColumns | None:
    """Return annotations as columns if they are ordinary, else None.

    Their ids are integers, `iscrowd` is 0, 1 or missing, `bbox` has four finite numbers, and there is no mask.
    """
    image_id = _integers([record.get("image_id") for record in records])
    category_id = _integers([record.get("category_id") for record in records])
    is_crowd = [record.get("iscrowd", 0) for record in records]
    boxes = [record.get("bbox") for record in records]
    masks = [record["segmentation"] for record in records if "segmentation" in record]
    if image_id is None or category_id is None or any(mask not in (None, [], {}) for mask in masks):
        return None
    if set(map(type, is_crowd)) - {int} or set(is_crowd) - {0, 1}:
        return None
    if set(map(type, boxes)) - {list} or set(map(len, boxes)) - {4}:  # type: ignore[arg-type]
        return None
    numbers = list(chain.from_iterable(boxes))  # type: ignore[arg-type]
    if set(map(type, numbers)) - {int, float}:
        return None
    try:
        box = np.array(numbers, dtype=np.float64).reshape(-1, 4)
    except OverflowError:
        return None
    if not (np.abs(box) < _LARGEST).all():
        return None
    return BoxColumns(image_id, category_id, np.array(is_crowd, dtype=np.uint8), box)
