"""Tables of annotations in the folder of a run: read once, then opened by all its processes and by later starts."""

import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from filelock import FileLock

from eva_backbone.errors import InputError
from eva_engine.data.run_cache import cache_folder

from .coco_images import changed_at
from .table_columns import open_columns

logger = logging.getLogger(__name__)

_VERSION = 2  # of the format; another one is built again
_MANIFEST = "manifest.json"
_CHUNK_BYTES = 16 * 2**20

Columns = dict[str, np.ndarray]
Build = Callable[[Path | None], tuple[Columns, dict, dict[str, int | None]]]


@dataclass(frozen=True)
class StoredTable:
    """A table and what else was found in its file.

    Attributes:
        columns: The columns of a `RecordTable`.
        facts: What the file showed, as values of JSON.
        folder: Where the columns are; None if they are in memory.
        was_opened: Whether an earlier reading of the file was used.
    """

    columns: Columns
    facts: dict[str, Any]
    folder: Path | None
    was_opened: bool


def open_or_build(path: Path, name: str, key: dict[str, Any], build: Build) -> StoredTable:
    """Return the table of an annotation file from the folder of the run, and build it if there is none that fits.

    A table fits if the file has the same content, the folders of its images have not been changed, and `key` is the
    same. One process builds it while the others wait. Outside of a run, the table is built in memory.

    Args:
        path: The annotation file.
        name: Name of the dataset.
        key: What the table depends on in addition, as values of JSON.
        build: Function that reads the file, stores the columns in a folder, or in memory for None, and returns them,
            facts, and when each folder of images was changed last.

    Raises:
        InputError: `build` raised it, or the folder cannot be written.
    """
    parent = cache_folder()
    if parent is None:
        columns, facts, _ = build(None)
        return StoredTable(columns, facts, None, was_opened=False)
    folder = parent.absolute() / quote(name, safe="")
    key = json.loads(json.dumps(key | {"version": _VERSION}))  # tuples become lists, as in the file
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            found = _open(folder, path, key)
            return _build(folder, path, key, build) if found is None else found
    except OSError as error:
        raise InputError(
            f"{folder}: the annotations of {path} cannot be stored ({error}); give another train.output_dir."
        ) from error


def _open(folder: Path, path: Path, key: dict[str, Any]) -> StoredTable | None:
    """Open the table in a folder; None if it is missing, damaged or does not fit."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["key"] != key:
            return None
        if any(changed_at(directory) != changed for directory, changed in manifest["directories"].items()):
            logger.info("The folders of the images have changed since %s was read", path)
            return None
        if manifest["stamp"] != _stamp(path) and manifest["sha256"] != _sha256(path):
            return None
        if any(_checksum(folder / file) != expected for file, expected in manifest["checksums"].items()):
            raise ValueError("a checksum differs")
        columns = open_columns(folder)
        logger.info("%s was read before: its annotations are opened from %s", path, folder)
        return StoredTable(columns, manifest["facts"], folder, was_opened=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is damaged (%s): it is built again", folder, error)
        return None


def _build(folder: Path, path: Path, key: dict[str, Any], build: Build) -> StoredTable:
    start = time.perf_counter()
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        stamp, digest = _stamp(path), _sha256(path)
        _, facts, directories = build(partial)
        manifest = {
            "key": key,
            "stamp": stamp,
            "sha256": digest,
            "directories": directories,
            "checksums": {file.name: _checksum(file) for file in sorted(partial.iterdir())},
            "facts": facts,
        }
        (partial / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    logger.info("%s was read in %.1f s; its annotations are stored in %s", path, time.perf_counter() - start, folder)
    # Not the facts before they were stored: so every start has the same ones.
    return StoredTable(open_columns(folder), json.loads(json.dumps(facts)), folder, was_opened=False)


def _stamp(path: Path) -> list[int]:
    """Return what changes whenever a file is written; ctime cannot be set by a program that copies a file."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(path: Path) -> list[int]:
    """Return the size of a file and its CRC."""
    checksum = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return [path.stat().st_size, checksum]
