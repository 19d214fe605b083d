"""Checkpoints in one file: Detectron2's layout, written atomically, verified by the checksums of the zip archive."""

import os
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, cast

import torch

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.disk_space import disk_full_as_input_error, require_disk_space
from eva_engine.safe_text import printable

from .file_kind import FileKind, detect_kind
from .nested_state import local_tensor_bytes
from .single_file import read_single_file
from .synced_file import open_synced

DISK_FULL_ADVICE = "free some space or lower train.checkpointer.max_to_keep"

_BLOCK_SIZE = 2**20  # bytes read at a time, so that they are still in the CPU cache for the checksum
_MAX_READERS = 4


def write_unsharded(path: Path, state: Mapping) -> None:
    """Write a checkpoint atomically; if that fails, an existing file at `path` stays unchanged.

    Raises:
        InputError: The disk is full.
        TypeError: `state` has objects that could not be read without running code.
    """
    needed = local_tensor_bytes(state)
    require_disk_space(path, needed, DISK_FULL_ADVICE)
    # "model" comes first, as in Detectron2's files.
    content = {"model": state["model"], **state} if "model" in state else dict(state)
    with disk_full_as_input_error(path, needed, DISK_FULL_ADVICE), atomic_path(path) as partial:
        save_readable(content, partial)


def save_readable(content: Mapping, path: Path) -> None:
    """Call `torch.save`, and raise TypeError if the file could not be read again without running code."""
    with open_synced(path) as file:  # torch's own file writer does not report that the disk is full
        torch.save(content, cast("IO[bytes]", file))  # torch calls only the methods that a SyncedFile has
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if unsafe:
        raise TypeError(f"the state has objects that would be refused when it is read again: {', '.join(unsafe)}")


def verify_unsharded(path: Path) -> None:
    """Raise InputError unless the file can be opened and the checksums of all its records are correct."""
    kind = detect_kind(path)
    if kind is not FileKind.TORCH:
        raise InputError(f"{path} is a {kind} file, which runs do not write; use an earlier checkpoint.")
    read_single_file(path, kind)
    try:
        torch._C.PyTorchFileReader(str(path))  # checks offsets in the archive that zipfile does not use
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
        num_readers = min(_MAX_READERS, os.cpu_count() or 1)
        parts = [records[start::num_readers] for start in range(num_readers)]
        with ThreadPoolExecutor(num_readers) as pool:
            for reader in [pool.submit(_read_records, path, part) for part in parts]:
                reader.result()
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} is damaged ({printable(error, 150) or type(error).__name__}); use an earlier checkpoint."
        ) from error


def _read_records(path: Path, records: list[zipfile.ZipInfo]) -> None:
    with zipfile.ZipFile(path) as archive:
        for record in records:
            with archive.open(record) as stream:
                while stream.read(_BLOCK_SIZE):  # zipfile compares the checksum at the end of the record
                    pass
