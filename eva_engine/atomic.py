"""Write files and folders atomically: they appear complete under their final name, or not at all."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file next to `path`, with the same suffix, and rename it to `path` after the block.

    The content is synced to disk before the rename. If anything interrupts the block, an existing file at `path` stays
    unchanged. A symbolic link at `path` is replaced, not followed. Missing parent folders are created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=f".partial{path.suffix}")
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp creates files that only their owner can read
        sync_to_disk(name)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_to_disk(path.parent)  # makes the rename durable


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a binary file to write to, which gets the name `path` after the block; see `atomic_path`."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        yield file


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder next to `path` and rename it to `path` after the block.

    If another process has created `path` in the meantime, its folder stays and this one is discarded. Nothing is synced
    to disk. Missing parent folders are created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".partial"))
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())  # mkdtemp creates folders that only their owner can read
        try:
            partial.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sync_to_disk(path: str | Path) -> None:
    """Block until the content of a file, or the entries of a folder, are on disk.

    Windows syncs only files, and only those that are open for writing; it records a rename without being asked.
    """
    is_windows = sys.platform == "win32"
    if is_windows and os.path.isdir(path):
        return
    handle = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """Return the umask of the process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
