"""Writing large files so that little is left to do when they are synced."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_AHEAD = 32 * 2**20  # bytes after which the disk is set to work


class EagerFile:
    """A file open for writing from its start to its end, which a second thread brings to disk meanwhile."""

    def __init__(self, file: BinaryIO, helper: ThreadPoolExecutor) -> None:
        self._file, self._helper = file, helper
        self._num_bytes, self._num_synced = 0, 0
        self._syncing: Future[None] | None = None

    def write(self, data: memoryview | bytes) -> int:
        """Write all of `data`; raises OSError, also for what was written earlier."""
        self._file.write(data)
        self._num_bytes += len(data)
        if self._num_bytes - self._num_synced >= _AHEAD and (self._syncing is None or self._syncing.done()):
            self.check()
            self._num_synced = self._num_bytes
            self._syncing = self._helper.submit(os.fsync, self._file.fileno())
        return len(data)

    def check(self) -> None:
        """Raise the OSError of the second thread: the system tells of each failure only once."""
        if self._syncing is not None:
            self._syncing.result()

    def flush(self) -> None:
        """Hand what is buffered to the system."""
        self._file.flush()

    def fileno(self) -> int:
        """The system's number of the file, by which it is synced."""
        return self._file.fileno()


@contextmanager
def open_eagerly(path: Path) -> Iterator[EagerFile]:
    """The new file `path`; its last part is not synced when the block has ended."""
    with open(path, "wb") as file, ThreadPoolExecutor(1) as helper:
        eager = EagerFile(file, helper)
        yield eager
        eager.check()
