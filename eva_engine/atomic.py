"""Files and folders that are there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path`, of the same suffix, that takes its name once the block has ended.

    The content is on disk before the name is. Whatever interrupts the block, an earlier file of that name stays as it
    was; a link there is replaced, never written through. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=f".partial{path.suffix}")
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp's files are private
        sync_to_disk(name)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_to_disk(path.parent)  # the new name itself


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file open for writing that takes the name `path` once the block has ended; see `atomic_path`."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        yield file


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name once the block has ended.

    Where another process was first, its folder stays and this one is let go. Nothing is forced to disk. Missing parents
    are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".partial"))
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())  # mkdtemp's folders are private
        try:
            partial.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sync_to_disk(path: str | Path) -> None:
    """Wait until the file, or the names in the folder, `path` are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
