"""Check the image records of a COCO-format file, and that their files exist."""

import os
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.image_size import read_size

from .coco_file import is_id, size_problem, with_ids
from .image_paths import is_inside

_SAMPLE = 20  # images whose headers are read


@dataclass(frozen=True)
class CheckedImages:
    """Usable images in ascending order of their ids.

    Attributes:
        root: Folder that the names are relative to.
        ids: [M] int64.
        widths: In pixels, [M] int64.
        heights: In pixels, [M] int64.
        names: File names, joined with `root` by `path`.
        bad_ids: Ids of the listed images that are not usable, ascending, int64.
    """

    root: str
    ids: np.ndarray
    widths: np.ndarray
    heights: np.ndarray
    names: list[str]
    bad_ids: np.ndarray

    def path(self, row: int) -> str:
        """Return the path of an image."""
        return os.path.join(self.root, self.names[row])

    def swapped_sides(self) -> tuple[int, int, int]:
        """Look for width and height that are swapped in the headers of a few images of all parts of the file.

        Returns:
            The number of images whose size is the swapped one, that of the images that could show it, and the index of
            one of the former.
        """
        rows = np.flatnonzero(self.widths != self.heights)
        sample = rows[np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).round().astype(int))] if len(rows) else rows
        swapped, num_read = [], 0
        for row in sample.tolist():
            try:
                size = read_size(self.path(row))
            except InputError:  # reported when its pixels are read
                continue
            num_read += 1
            if size == (self.heights[row], self.widths[row]):
                swapped.append(row)
        return len(swapped), num_read, swapped[0] if swapped else -1

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Return the index of the image of each id; -1 for those that are not usable."""
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[rows] == ids, rows, -1)

    def are_bad(self, ids: np.ndarray) -> np.ndarray:
        """Return for each id whether it is that of a listed image that is not usable."""
        if not len(self.bad_ids):
            return np.zeros(len(ids), dtype=bool)
        rows = np.minimum(np.searchsorted(self.bad_ids, ids), len(self.bad_ids) - 1)
        return self.bad_ids[rows] == ids


def check_images(
    rows: Sequence[tuple], image_root: str, errors: RecordErrors, listing: "DirectoryListing"
) -> CheckedImages:
    """Return the usable images.

    A record is bad if its id is not an integer or is given twice, if its file name is missing, an address or outside
    of the image folder, if its size is not valid (see `size_problem`), or if the file does not exist. Backslashes in a
    file name separate folders if the file exists that way.

    Args:
        rows: `id`, `file_name`, `width` and `height` of each record of the list `images` of the file.
        image_root: Folder that the file names are relative to.
        errors: Collects or raises the errors of bad records.
        listing: Looks up which files exist.
    """
    found: list[tuple[int, str, int, int]] = []
    records = ({"id": image_id, "row": (name, width, height)} for image_id, name, width, height in rows)
    for image_id, record in with_ids(records, "image", is_id, errors):
        name = f"image {image_id}"
        file_name, width, height = record["row"]
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
        used_name = file_name
        if not listing.has(path):
            used_name = file_name.replace("\\", "/")
        if not listing.has(os.path.join(image_root, used_name)):
            errors.add(name, f"is missing: no file {path}", "check the image folder")
            continue
        found.append((image_id, used_name, width, height))
    found.sort()
    ids = np.array([row[0] for row in found], dtype=np.int64)
    listed = np.array([row[0] for row in rows if is_id(row[0])], dtype=np.int64)
    return CheckedImages(
        image_root,
        ids,
        np.array([row[2] for row in found], dtype=np.int64),
        np.array([row[3] for row in found], dtype=np.int64),
        [row[1] for row in found],
        np.setdiff1d(listed, ids),
    )


class DirectoryListing:
    """Look up whether files exist by listing each directory once: one call per file is slow on network drives.

    Attributes:
        times: When each directory was changed before it was listed, in nanoseconds; None if it does not exist.
    """

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self.times: dict[str, int | None] = {}

    def has(self, path: str) -> bool:
        """Return whether a file exists."""
        if "://" in path:  # a URL, which is not checked
            return True
        directory, name = os.path.split(path)
        if directory not in self._names:
            self.times[directory] = changed_at(directory)
            try:
                self._names[directory] = set(os.listdir(directory or "."))
            except (OSError, ValueError):  # the folder does not exist, or no folder can have this name
                self._names[directory] = set()
        return name in self._names[directory]


def changed_at(directory: str) -> int | None:
    """Return when files were last added to a directory or removed, in nanoseconds; None if it does not exist."""
    try:
        return os.stat(directory or ".").st_mtime_ns
    except (OSError, ValueError):  # ValueError: no folder can have this name
        return None
