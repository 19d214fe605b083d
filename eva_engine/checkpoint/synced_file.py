"""Write large files that are flushed to disk as they grow, so that the final sync takes little time."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_SYNC_INTERVAL = 32 * 2**20  # bytes between two syncs


class SyncedFile:
    """A file that is written sequentially, while a second thread calls fsync every 32 MiB."""

    def __init__(self, file: BinaryIO, helper: ThreadPoolExecutor) -> None:
        self._file, self._helper = file, helper
        self._num_bytes, self._num_synced = 0, 0
        self._syncing: Future[None] | None = None

    def write(self, data: memoryview | bytes) -> int:
        """Write all of `data` and return the number of bytes; raises OSError, also for earlier writes."""
        self._file.write(data)
        self._num_bytes += len(data)
        is_idle = self._syncing is None or self._syncing.done()
        if is_idle and self._num_bytes - self._num_synced >= _SYNC_INTERVAL:
            self.check()
            self._num_synced = self._num_bytes
            self._syncing = self._helper.submit(os.fsync, self._file.fileno())
        return len(data)

    def check(self) -> None:
        """Wait for the last sync and raise its OSError: the system reports each failed write to only one fsync."""
        if self._syncing is not None:
            self._syncing.result()

    def flush(self) -> None:
        """Flush buffered data to the operating system."""
        self._file.flush()

    def fileno(self) -> int:
        """Return the file descriptor, for fsync."""
        return self._file.fileno()


@contextmanager
def open_synced(path: Path) -> Iterator[SyncedFile]:
    """Create the file `path` for writing; what was written last is not synced yet when the block ends."""
    with open(path, "wb") as file, ThreadPoolExecutor(1) as helper:
        synced = SyncedFile(file, helper)
        yield synced
        synced.check()
