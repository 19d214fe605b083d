"""Compute the checksums of files while `torch.distributed.checkpoint` writes them."""

import io
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.filesystem import FileSystem
from torch.distributed.checkpoint.metadata import StorageMeta

from .synced_file import SyncedFile, open_synced

_LARGE = 2**18  # bytes from which a second thread for the checksum saves time
_BLOCK_SIZE = 2**20  # bytes read at a time


class ChecksummedStream:
    """A file that is written sequentially while the CRC-32 of its content is computed."""

    def __init__(self, file: SyncedFile, helper: ThreadPoolExecutor) -> None:
        self._file, self._helper = file, helper
        self.num_bytes, self.checksum = 0, 0
        self.error: OSError | None = None

    def write(self, data: memoryview | bytes) -> int:
        """Write all of `data`, update the checksum and return the number of bytes; raises OSError."""
        try:
            if len(data) < _LARGE:
                self.checksum = zlib.crc32(data, self.checksum)
                self._file.write(data)
            else:  # in parallel, since both release the GIL
                checksum = self._helper.submit(zlib.crc32, data, self.checksum)
                try:
                    self._file.write(data)
                finally:
                    self.checksum = checksum.result()
        except OSError as error:
            self.error = error
            raise
        self.num_bytes += len(data)
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self.num_bytes

    def flush(self) -> None:
        """Flush buffered data to the operating system."""
        self._file.flush()

    def fileno(self) -> int:
        """Return the file descriptor, which torch passes to fsync."""
        return self._file.fileno()

    def close(self) -> None:
        """Do nothing: torch closes the stream after fsync, but `_ChecksummingFileSystem` closes the file."""


class _ChecksummingFileSystem(FileSystem):
    def __init__(self) -> None:
        self.files: dict[str, tuple[int, int]] = {}

    @contextmanager
    def create_stream(self, path: str | os.PathLike, mode: str) -> Iterator[io.IOBase]:
        if mode != "wb":
            raise ValueError(f"files can only be opened for writing, not in mode {mode!r}")
        with open_synced(Path(path)) as file, ThreadPoolExecutor(1) as helper:
            stream = ChecksummedStream(file, helper)
            try:
                yield cast("io.IOBase", stream)  # torch calls only the methods that this stream has
            except RuntimeError as error:  # torch's file writer raises this on top of the system's error
                if stream.error is not None:
                    raise stream.error from error
                raise
        self.files[Path(path).name] = (stream.num_bytes, stream.checksum)

    def rename(self, path: str | os.PathLike, new_path: str | os.PathLike) -> None:
        super().rename(path, new_path)
        self.files[Path(new_path).name] = self.files.pop(Path(path).name)


class ChecksummingWriter(FileSystemWriter):
    """torch's writer of one synced file per process, with checksums.

    Attributes:
        files: (size in bytes, CRC-32) of every file that this process has written, by name.
    """

    def __init__(self, folder: Path) -> None:
        # Copying ahead would initialise CUDA on the first device in the writing thread of every process.
        super().__init__(folder, per_thread_copy_ahead=0)
        self.fs = file_system = _ChecksummingFileSystem()
        self.files = file_system.files

    def storage_meta(self) -> StorageMeta:
        """Return no paths: torch's own metadata would contain that of the temporary folder, which is renamed."""
        return StorageMeta()


def file_checksum(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the CRC-32 of a file."""
    num_bytes = checksum = 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK_SIZE):
            num_bytes += len(block)
            checksum = zlib.crc32(block, checksum)
    return num_bytes, checksum
