"""Write results in threads while the model computes the next ones."""

import os
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eva_backbone.errors import InputError

from .inputs import Input

NUM_THREADS = 4
# More results that wait would hide the time for writing no better, but take memory.
MAX_PENDING = 2 * NUM_THREADS


class WriteBehind:
    """Write results in threads; encoding and drawing libraries release the GIL.

    Leaving the context manager waits for the results that are still to be written, also after an error.

    Args:
        write: Function that writes the files of an input; called in threads.
        on_done: Function that is called in the caller's thread, in the order of the inputs, with an input, its result,
            and the error because of which it is not written or None.
        folder: Folder of the results. When it has gone, the error is raised at the next call, and nothing more is
            written.
    """

    def __init__(
        self,
        write: Callable[[Input, Any], None],
        on_done: Callable[[Input, Any, InputError | None], None],
        folder: Path,
    ) -> None:
        self._write, self._on_done, self._folder = write, on_done, folder
        # Shows whether the folder is later the same one. Windows cannot open a folder.
        self._descriptor = None if sys.platform == "win32" else os.open(folder, os.O_RDONLY)
        self._pending: deque[tuple[Input, Any, Future[InputError | None]]] = deque()
        self._pool = ThreadPoolExecutor(NUM_THREADS, "write")
        self._is_stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except OSError:
            if error is None:
                raise
        finally:
            self._pool.shutdown()
            if self._descriptor is not None:
                os.close(self._descriptor)

    def add(self, item: Input, result: Any) -> None:
        """Write a result soon; wait if too many are pending.

        Raises:
            OSError: The folder has gone.
        """
        self._pending.append((item, result, self._pool.submit(self._write_one, item, result)))
        while self._pending and (len(self._pending) > MAX_PENDING or self._pending[0][2].done()):
            self._finish_first()

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: The folder has gone.
        """
        while self._pending:
            self._finish_first()

    def check_folder(self) -> None:
        """Raise OSError if the folder was moved or deleted."""
        # Files are written atomically and create their folder, so a missing one would not be noticed.
        status = os.stat(self._folder)
        if self._descriptor is not None and not os.path.samestat(os.fstat(self._descriptor), status):
            raise OSError("the folder was moved or deleted")

    def _finish_first(self) -> None:
        item, result, future = self._pending.popleft()
        self._on_done(item, result, future.result())

    def _write_one(self, item: Input, result: Any) -> InputError | None:
        if self._is_stopped:
            return InputError("not written, because the folder of the results has gone.")
        try:
            failure = writing_error(lambda: self._write(item, result))
            self.check_folder()
        except OSError:
            self._is_stopped = True
            raise
        return failure


def writing_error(write: Callable[[], None]) -> InputError | None:
    """Call `write` and return an error that concerns only this result, None if there is none."""
    try:
        write()
    except InputError as error:
        return error
    except OSError as error:
        return InputError(f"the results cannot be written ({error.strerror or error}).")
    except MemoryError:
        return InputError("there is not enough memory to write its result; resize it.")
    return None
