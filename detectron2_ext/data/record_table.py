"""Dataset dicts as columns in memory-mapped files: millions take no memory, since a record is made when it is read."""

import io
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

from .mask_bytes import decode_mask, encode_mask

_MASKS = "masks"
_IMAGE_COLUMNS = ("image_id", "width", "height", "names", "name_offsets", "extra", "extra_offsets", "offsets")
_COLUMNS = (*_IMAGE_COLUMNS, "id", "category", "crowd", "box", "mask_spans")
_UNSORTED = {"image": np.int32, "id": np.int64, "category": np.int32, "crowd": np.uint8, "box": np.float64}
_IMAGES_AT_A_TIME = 100_000


class TableBuilder:
    """Collects annotations in any order, and sorts them by their image.

    Args:
        folder: Folder in which the columns are written; None keeps them in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._masks: Any = io.BytesIO() if folder is None else open(folder / f"{_MASKS}.bin", "wb")  # noqa: SIM115
        # In files if there is a folder: in memory, the arrays of all parts would stay next to the sorted columns.
        self._parts: dict[str, list[np.ndarray]] = {name: [] for name in _UNSORTED}
        self._files: dict[str, Any] = {}
        if folder is not None:
            self._files = {name: open(folder / f"{name}.raw", "wb") for name in _UNSORTED}  # noqa: SIM115
        self._spans: list[np.ndarray] = []  # offset and length of masks
        self._has_masks = False
        self._single: list[tuple] = []

    def add(self, image: int, annotation_id: int, category: int, crowd: int, box: list, mask: Any) -> None:
        """Add an annotation; see `add_boxes`, and `encode_mask` for the mask."""
        encoded = encode_mask(mask)
        self._single.append((image, annotation_id, category, crowd, box, self._masks.tell(), len(encoded)))
        self._masks.write(encoded)
        self._has_masks |= mask is not None
        if len(self._single) >= 10_000:
            self._pack()

    def add_boxes(
        self, image: np.ndarray, ids: np.ndarray, category: np.ndarray, crowd: np.ndarray, box: np.ndarray
    ) -> None:
        """Add annotations without masks.

        Args:
            image: Row of the image of each, [N].
            ids: Their ids, [N].
            category: Their class indices, [N].
            crowd: Whether each is a crowd region, 0 or 1, [N].
            box: x, y, width and height in pixels, [N, 4].
        """
        self._pack()
        self._append(image, ids, category, crowd, box, np.zeros((len(ids), 2), dtype=np.int64))

    def _append(self, image: Any, ids: Any, category: Any, crowd: Any, box: Any, spans: np.ndarray) -> None:
        values = {"image": image, "id": ids, "category": category, "crowd": crowd, "box": box}
        for name, kind in _UNSORTED.items():
            column = np.ascontiguousarray(values[name], dtype=kind)
            if self._files:
                self._files[name].write(column.tobytes())
            else:
                self._parts[name].append(column.reshape(-1))
        self._spans.append(spans if spans.any() else np.zeros((len(spans), 0), dtype=np.int64))

    def _pack(self) -> None:
        if self._single:
            image, ids, category, crowd, box, offsets, lengths = zip(*self._single, strict=True)
            self._single = []
            self._append(image, ids, category, crowd, box, np.array([offsets, lengths], dtype=np.int64).T)

    def finish(self, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return all columns: those of `images`, and the annotations, sorted by their image and then as added.

        Columns in a folder are written there; they are returned memory-mapped.
        """
        self._pack()
        image = self._take("image")
        order = np.argsort(image, kind="stable")
        counts = np.bincount(image, minlength=len(images["image_id"]))
        del image
        columns = images | {"offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)}
        result = {name: self._stored(name, column) for name, column in columns.items()}
        for name in ("id", "category", "crowd"):
            result[name] = self._stored(name, self._take(name)[order])
        result["box"] = self._stored("box", self._take("box").reshape(-1, 4)[order])
        spans = np.zeros((0, 2), dtype=np.int64)
        if self._has_masks:
            full = [part if part.shape[1] else np.zeros((len(part), 2), dtype=np.int64) for part in self._spans]
            spans = np.concatenate(full)[order]
        result["mask_spans"] = self._stored("mask_spans", spans)
        if self._folder is None:
            result[_MASKS] = np.frombuffer(self._masks.getvalue(), dtype=np.uint8)
        else:
            self._masks.close()
            result[_MASKS] = _open_masks(self._folder)
        return result

    def _take(self, name: str) -> np.ndarray:
        if self._folder is not None:
            self._files[name].close()
            path = self._folder / f"{name}.raw"
            column = np.fromfile(path, _UNSORTED[name])
            path.unlink()
            return column
        parts, self._parts[name] = self._parts[name], []
        return np.concatenate([np.zeros(0, dtype=_UNSORTED[name]), *parts])

    def _stored(self, name: str, column: np.ndarray) -> np.ndarray:
        if self._folder is None:
            return column
        np.save(self._folder / f"{name}.npy", column)
        return open_column(self._folder, name)


def open_column(folder: Path, name: str) -> np.ndarray:
    """Map a column of a table in a folder into memory."""
    # As a plain array: each slice of a np.memmap takes microseconds.
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))


def _open_masks(folder: Path) -> np.ndarray:
    path = folder / f"{_MASKS}.bin"
    if path.stat().st_size:
        return np.asarray(np.memmap(path, np.uint8, "r"))
    return np.zeros(0, np.uint8)


def image_columns(
    ids: np.ndarray, widths: np.ndarray, heights: np.ndarray, names: Sequence[str], extra: Sequence[dict] = ()
) -> dict[str, np.ndarray]:
    """Return the columns of images, in the order of the table.

    Args:
        ids: Image ids, [M].
        widths: In pixels, [M].
        heights: In pixels, [M].
        names: File names.
        extra: What else the record of each image has, as values of JSON; empty if none has more.
    """
    text, offsets = _joined([name.encode("utf-8", "surrogatepass") for name in names])  # names of other encodings
    extra_text, extra_offsets = _joined([orjson.dumps(values) for values in extra])
    return {
        "image_id": ids,
        "width": widths.astype(np.int32),
        "height": heights.astype(np.int32),
        "names": text,
        "name_offsets": offsets,
        "extra": extra_text,
        "extra_offsets": extra_offsets,
    }


def _joined(parts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of all parts, and where each begins, followed by the end of the last."""
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    return np.frombuffer(b"".join(parts), dtype=np.uint8), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def open_columns(folder: Path) -> dict[str, np.ndarray]:
    """Open the columns that `TableBuilder` has written into a folder.

    Raises:
        ValueError: A column is damaged.
        OSError: A file cannot be read.
    """
    columns = {name: open_column(folder, name) for name in _COLUMNS}
    columns[_MASKS] = _open_masks(folder)
    return columns


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
                encoded = columns[_MASKS][offset : offset + length].tobytes()
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
