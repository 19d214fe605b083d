"""Lists of images with their classes: a table with a header, or lines of a path and a class."""

import os
import posixpath
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.folder_files import IMAGE_SUFFIXES
from eva_engine.data.table_file import find_column, read_rows
from eva_engine.text_file import open_text
from eva_engine.text_layout import join_first

_IMAGE_COLUMNS = ("path", "image", "image_path", "file", "filename", "file_name", "image_id", "id")
_CLASS_COLUMNS = ("class", "label", "class_name", "category", "target")
_FIX = "give one image per line, a path and a class"
_MAX_LISTED = 10


def read_image_list(listing: str | Path, root: str | Path) -> list[tuple[str, str]]:
    """Return (path relative to `root`, class) of each image of a list, in its order.

    .csv and .tsv files are tables with a header, such as path,label; one whose first row names an image has no header.
    Lines of other files are a path, which may contain spaces, and a class, separated by a tab or the last space.

    Raises:
        InputError: The file cannot be read, a line has no path and class, or images are missing or outside of `root`;
            all of these are named.
    """
    is_table = str(listing).lower().endswith((".csv", ".tsv"))
    rows = _table_rows(listing) if is_table else _text_rows(listing)
    entries, missing = [], []
    folders: dict[str, set[str]] = {}
    for name, path, label in rows:
        if not path or not label:
            raise InputError(f"{listing}: {name} is not a path and a class; {_FIX}.")
        found = _find_image(path.replace("\\", "/"), str(root), folders)
        if found is None:
            missing.append(path)
        else:
            entries.append((found, label))
    if missing:
        raise InputError(
            f"{listing} lists {len(missing)} image(s) that are not in {root}: {join_first(missing, _MAX_LISTED)}"
            "; correct the paths, which start at this folder."
        )
    if not entries:
        raise InputError(f"{listing} lists no image; {_FIX}.")
    return entries


def _find_image(path: str, root: str, folders: dict[str, set[str]]) -> str | None:
    """Return the path below `root` of an existing image; the suffix may be missing, as in tables of competitions."""
    relative = posixpath.normpath(os.path.relpath(path, os.path.abspath(root)) if os.path.isabs(path) else path)
    folder, name = posixpath.split(relative)
    if relative.startswith("..") or "\0" in path or "://" in path:
        return None
    if folder not in folders:
        try:
            folders[folder] = set(os.listdir(os.path.join(root, folder)))
        except OSError:
            folders[folder] = set()
    for candidate in (name, *(name + suffix for suffix in IMAGE_SUFFIXES)):
        if candidate in folders[folder]:
            return posixpath.join(folder, candidate)
    return None


def _text_rows(listing: str | Path) -> Iterator[tuple[str, str, str]]:
    with open_text(listing, "list of images", _FIX) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                separator = "\t" if "\t" in line else None
                path, *label = line.strip().rsplit(separator, maxsplit=1)
                yield f"line {number}", path.rstrip(), label[0].strip() if label else ""


def _table_rows(listing: str | Path) -> Iterator[tuple[str, str, str]]:
    rows = read_rows(listing, "list of images", RecordErrors(str(listing), "stop"))
    first = next(rows, ("", []))
    image, label = _column(first[1], _IMAGE_COLUMNS, listing), _column(first[1], _CLASS_COLUMNS, listing)
    before = []
    if image is None and len(first[1]) == 2 and first[1][0].lower().endswith(IMAGE_SUFFIXES):
        image, label, before = 0, 1, [first]
    if image is None or label is None:
        raise InputError(
            f"{listing} has no columns with the image and its class, but {', '.join(first[1])[:200]}; name them path "
            "and class."
        )
    for name, cells in chain(before, rows):
        yield name, cells[image].strip(), cells[label].strip()


def _column(header: Sequence[str], names: Sequence[str], listing: str | Path) -> int | None:
    found = (find_column(header, name, listing) for name in names)
    return next((number for number in found if number is not None), None)
