"""Columns of records in memory-mapped files: collect them in any order, write them sorted by image, and open them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from .mask_bytes import encode_mask

MASKS = "masks"
_IMAGE_COLUMNS = ("image_id", "width", "height", "names", "name_offsets", "extra", "extra_offsets", "offsets")
_COLUMNS = (*_IMAGE_COLUMNS, "id", "category", "crowd", "box", "mask_spans")
_UNSORTED = {"image": np.int32, "id": np.int64, "category": np.int32, "crowd": np.uint8, "box": np.float64}


class TableBuilder:
    """Collects annotations in any order, and sorts them by their image.

    Args:
        folder: Folder in which the columns are written; None keeps them in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._masks: Any = io.BytesIO() if folder is None else open(folder / f"{MASKS}.bin", "wb")  # noqa: SIM115
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
            result[MASKS] = np.frombuffer(self._masks.getvalue(), dtype=np.uint8)
        else:
            self._masks.close()
            result[MASKS] = _open_masks(self._folder)
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
    path = folder / f"{MASKS}.bin"
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
    columns[MASKS] = _open_masks(folder)
    return columns
