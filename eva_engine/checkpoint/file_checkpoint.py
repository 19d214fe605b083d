"""A checkpoint in one file: Detectron2's layout, written whole or not at all, and checked by its own checksums."""

import os
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, cast

import torch

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path

from .disk_space import full_disk_as_input_error, require_space
from .eager_sync import open_eagerly
from .nested_state import tensor_bytes
from .single_file import read_single_file

_PIECE = 2**20  # bytes read at a time, so that they are still in the processor's cache when they are summed
_MAX_READERS = 4


def write_file(path: Path, state: Mapping) -> None:
    """Write `state` to `path` through a temporary file beside it, which is on disk before it gets the name.

    Raises InputError when the disk is full, and TypeError when `state` holds objects that reading would refuse; a file
    of that name written before is then as it was.
    """
    needed = tensor_bytes(state)
    require_space(path, needed)
    with full_disk_as_input_error(path, needed), atomic_path(path) as partial:
        save_readable({"model": state["model"], **state} if "model" in state else dict(state), partial)


def save_readable(content: Mapping, path: Path) -> None:
    """`torch.save` that raises TypeError when reading the file without running code would be impossible."""
    with open_eagerly(path) as file:  # an error of torch's own file writer does not say that the disk is full
        torch.save(content, cast("IO[bytes]", file))  # of which torch needs only what an EagerFile has
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if unsafe:
        raise TypeError(f"the state holds objects that are refused when it is read again: {', '.join(unsafe)}")


def verify_file(path: Path) -> None:
    """Raise InputError unless the file can be opened and every record in it has its checksum."""
    read_single_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
        num_readers = min(_MAX_READERS, os.cpu_count() or 1)
        shares = [records[start::num_readers] for start in range(num_readers)]
        with ThreadPoolExecutor(num_readers) as pool:
            list(pool.map(lambda share: _read_records(path, share), shares))
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is damaged ({error}); use an earlier checkpoint.") from error


def _read_records(path: Path, records: list[zipfile.ZipInfo]) -> None:
    with zipfile.ZipFile(path) as archive:
        for record in records:
            with archive.open(record) as stream:
                while stream.read(_PIECE):  # the end of a record compares its checksum
                    pass
