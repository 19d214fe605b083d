"""Files that are summed while they are written, for `torch.distributed.checkpoint`."""

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

from .eager_sync import EagerFile, open_eagerly

_LARGE = 2**18  # bytes from which a second thread pays
_PIECE = 2**20


class ChecksummedStream:
    """A file open for writing from its start to its end, with the CRC-32 of what was written."""

    def __init__(self, file: EagerFile, helper: ThreadPoolExecutor) -> None:
        self._file, self._helper = file, helper
        self.num_bytes, self.checksum = 0, 0
        self.error: OSError | None = None

    def write(self, data: memoryview | bytes) -> int:
        """Write and sum all of `data`, returning its bytes; raises OSError."""
        try:
            if len(data) < _LARGE:
                self.checksum = zlib.crc32(data, self.checksum)
                self._file.write(data)
            else:  # both leave the interpreter to others
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
        """Bytes written so far."""
        return self.num_bytes

    def flush(self) -> None:
        """Hand what is buffered to the system."""
        self._file.flush()

    def fileno(self) -> int:
        """The system's number of the file, by which torch syncs it."""
        return self._file.fileno()

    def close(self) -> None:
        """torch closes what it has synced; the file itself is closed by whoever opened it."""


class _ChecksummingFileSystem(FileSystem):
    def __init__(self) -> None:
        self.files: dict[str, tuple[int, int]] = {}

    @contextmanager
    def create_stream(self, path: str | os.PathLike, mode: str) -> Iterator[io.IOBase]:
        if mode != "wb":
            raise ValueError(f"files are only written here, not opened in mode {mode!r}")
        with open_eagerly(Path(path)) as file, ThreadPoolExecutor(1) as helper:
            stream = ChecksummedStream(file, helper)
            try:
                yield cast("io.IOBase", stream)  # of which torch needs only what this stream has
            except RuntimeError as error:  # torch's file writer hides the system's error behind its own
                if stream.error is not None:
                    raise stream.error from error
                raise
        self.files[Path(path).name] = (stream.num_bytes, stream.checksum)

    def rename(self, path: str | os.PathLike, new_path: str | os.PathLike) -> None:
        super().rename(path, new_path)
        self.files[Path(new_path).name] = self.files.pop(Path(path).name)


class ChecksummingWriter(FileSystemWriter):
    """torch's writer of one synced file per process; `files` are the bytes and CRC-32 of those this process wrote."""

    def __init__(self, folder: Path) -> None:
        # nothing is copied ahead: that would start CUDA on the first device in the writing thread of every process
        super().__init__(folder, per_thread_copy_ahead=0)
        self.fs = file_system = _ChecksummingFileSystem()
        self.files = file_system.files

    def storage_meta(self) -> StorageMeta:
        """Nothing about where the files are, so that the folder can be renamed."""
        return StorageMeta()  # torch's own would name the temporary folder


def file_checksum(path: Path) -> tuple[int, int]:
    """Bytes and CRC-32 of the file `path`."""
    num_bytes = checksum = 0
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            num_bytes += len(piece)
            checksum = zlib.crc32(piece, checksum)
    return num_bytes, checksum
