"""Dataset dicts as columns in memory-mapped files: millions take no memory, since a record is made when it is read."""

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import orjson
from detectron2.structures import BoxMode

from .mask_bytes import decode_mask
from .table_columns import MASKS, open_columns

_IMAGES_AT_A_TIME = 100_000


def _open_table(kind: type["RecordTable"], folder: Path, image_root: str) -> "RecordTable":
    return kind(open_columns(folder), image_root, folder)


class LazyRecords(Sequence[dict]):
    """A sequence whose records are made when they are read."""

    @overload
    def __getitem__(self, index: int) -> dict: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict]: ...

    def __getitem__(self, index: int | slice) -> dict | list[dict]:
        """Return a record, or a list of records."""
        if isinstance(index, slice):
            return [self.record(row) for row in range(len(self))[index]]
        return self.record(range(len(self))[index])

    @abstractmethod
    def record(self, index: int) -> dict:
        """Return the record with this index, which is not negative."""


class RecordTable(LazyRecords):
    """Detectron2 dataset dicts by ascending image id; each is made when it is read and belongs to the reader.

    Args:
        columns: Result of `TableBuilder.finish`.
        image_root: Folder that the file names are relative to.
        folder: Folder of the columns, by which processes share them; None if they are in memory.
    """

    def __init__(self, columns: dict[str, np.ndarray], image_root: str, folder: Path | None = None) -> None:
        self.columns, self.image_root, self.folder = columns, image_root, folder

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder is not None:
            return _open_table, (type(self), self.folder, self.image_root)
        return type(self), (self.columns, self.image_root)

    def __len__(self) -> int:
        return len(self.columns["image_id"])

    def record(self, index: int) -> dict:
        """Return the record of an image."""
        record = self.image(index)
        return record | {"annotations": self._annotations(index, record["height"], record["width"])}

    def image(self, row: int) -> dict:
        """Return the record of an image without its annotations."""
        columns = self.columns
        start, end = columns["name_offsets"][row : row + 2].tolist()
        name = columns["names"][start:end].tobytes().decode("utf-8", "surrogatepass")
        record = {
            "file_name": os.path.join(self.image_root, name),
            "height": int(columns["height"][row]),
            "width": int(columns["width"][row]),
            "image_id": int(columns["image_id"][row]),
        }
        if len(columns["extra"]):
            start, end = columns["extra_offsets"][row : row + 2].tolist()
            record |= orjson.loads(columns["extra"][start:end].tobytes())
        return record

    def _annotations(self, row: int, height: int, width: int) -> list[dict]:
        columns = self.columns
        start, end = columns["offsets"][row : row + 2].tolist()
        ids, boxes = columns["id"][start:end].tolist(), columns["box"][start:end].tolist()
        categories, crowds = columns["category"][start:end].tolist(), columns["crowd"][start:end].tolist()
        annotations = []
        for annotation_id, box, category, crowd in zip(ids, boxes, categories, crowds, strict=True):
            annotation = {"id": annotation_id, "bbox": box, "bbox_mode": BoxMode.XYWH_ABS, "category_id": category}
            annotations.append(annotation | {"iscrowd": crowd})
        spans = columns["mask_spans"][start:end].tolist()  # none if the file has no masks
        for annotation, (offset, length) in zip(annotations, spans, strict=False):
            if length:
                encoded = columns[MASKS][offset : offset + length].tobytes()
                annotation["segmentation"] = decode_mask(encoded, height, width)
        return annotations

    @cached_property
    def has_object(self) -> np.ndarray:
        """Whether each image has an annotation that is not a crowd region, [M]."""
        offsets = self.columns["offsets"]
        # Sums of the rows of each image; the extra zero is for images without rows at the end.
        num_objects = np.add.reduceat(np.append(self.columns["crowd"] == 0, False), offsets[:-1], dtype=np.int64)
        return (num_objects > 0) & (np.diff(offsets) > 0)


@dataclass(frozen=True)
class Annotations:
    """Annotations of many records.

    Attributes:
        image: Index of the record of each, [N] int64.
        category: Class indices, [N].
        is_crowd: Whether each is a crowd region, [N].
        box: x, y, width and height in pixels, [N, 4] float64.
    """

    image: np.ndarray
    category: np.ndarray
    is_crowd: np.ndarray
    box: np.ndarray


class SelectedRecords(LazyRecords):
    """Records of one or several tables, one after the other.

    Args:
        tables: The tables.
        rows: The rows of each that are chosen, ascending.
        with_annotations: Whether the records have their annotations.
    """

    def __init__(
        self, tables: Sequence[RecordTable], rows: Sequence[np.ndarray], *, with_annotations: bool = True
    ) -> None:
        self.tables, self.rows = list(tables), list(rows)
        self._with_annotations = with_annotations
        self._starts = np.concatenate([[0], np.cumsum([len(chosen) for chosen in rows])]).tolist()

    def __len__(self) -> int:
        return self._starts[-1]

    def record(self, index: int) -> dict:
        """Return a record."""
        number = 0
        while index >= self._starts[number + 1]:
            number += 1
        table, row = self.tables[number], int(self.rows[number][index - self._starts[number]])
        return table.record(row) if self._with_annotations else table.image(row)

    def classes_of_images(self) -> list[np.ndarray]:
        """Return the class indices of the annotations of each record, crowd regions included."""
        images = [np.zeros(0, dtype=np.int64)]
        classes = [np.zeros(0, dtype=np.int32)]
        for part in self.annotations():
            images.append(part.image)
            classes.append(part.category)
        sizes = np.bincount(np.concatenate(images), minlength=len(self))
        return np.split(np.concatenate(classes), np.cumsum(sizes)[:-1])

    def without_annotations(self) -> "SelectedRecords":
        """Return the same records without their annotations, which take most of the time."""
        return SelectedRecords(self.tables, self.rows, with_annotations=False)

    @property
    def image_sizes(self) -> np.ndarray:
        """Width and height of each record in pixels, [M, 2]."""
        parts = []
        for table, rows in zip(self.tables, self.rows, strict=True):
            parts.append(np.stack([table.columns["width"][rows], table.columns["height"][rows]], axis=1))
        return np.concatenate(parts)

    def annotations(self) -> Iterator[Annotations]:
        """Yield the annotations of the records, a part at a time."""
        for table, rows, start in zip(self.tables, self.rows, self._starts[:-1], strict=True):
            for first in range(0, len(rows), _IMAGES_AT_A_TIME):
                chosen = rows[first : first + _IMAGES_AT_A_TIME]
                begins, ends = table.columns["offsets"][chosen], table.columns["offsets"][chosen + 1]
                sizes = ends - begins
                within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
                where = np.repeat(begins, sizes) + within
                yield Annotations(
                    np.repeat(np.arange(len(chosen)) + start + first, sizes),
                    table.columns["category"][where],
                    table.columns["crowd"][where] != 0,
                    table.columns["box"][where],
                )
