"""Write results in a thread while the model computes the next ones."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eva_backbone.errors import InputError

from .inputs import Input


class WriteBehind:
    """Write results in order in one thread, at most `max_pending` behind the caller.

    Leaving the context manager waits for the results that are still to be written, also after an error.

    Args:
        write: Function that writes the result of an input.
        folder: Folder of the results. When it has gone, the error is raised at the next call, and nothing more is
            written.
        on_done: Function that is called, in the caller's thread, with an input and None when its result is written,
            or the error because of which it is not.
        max_pending: Number of results that may wait. More would hide the time for writing no better, but take memory.
    """

    def __init__(
        self,
        write: Callable[[Input, Any], None],
        folder: Path,
        on_done: Callable[[Input, InputError | None], None],
        max_pending: int = 4,
    ) -> None:
        self._write, self._on_done, self._max_pending = write, on_done, max_pending
        self._folder = folder
        self._descriptor = os.open(folder, os.O_RDONLY)  # shows whether the folder is later the same one
        self._pending: deque[tuple[Input, Future[InputError | None]]] = deque()
        self._thread = ThreadPoolExecutor(1, "write")
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
            self._thread.shutdown()
            os.close(self._descriptor)

    def add(self, item: Input, result: Any) -> None:
        """Write a result soon; wait if too many are pending.

        Raises:
            OSError: The folder has gone.
        """
        self._pending.append((item, self._thread.submit(self._write_one, item, result)))
        while self._pending and (len(self._pending) > self._max_pending or self._pending[0][1].done()):
            self._finish_first()

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: The folder has gone.
        """
        while self._pending:
            self._finish_first()

    def _finish_first(self) -> None:
        item, future = self._pending.popleft()
        self._on_done(item, future.result())

    def check_folder(self) -> None:
        """Raise OSError if the folder was moved or deleted."""
        # Files are written atomically and create their folder, so a missing one would not be noticed.
        if not os.path.samestat(os.fstat(self._descriptor), os.stat(self._folder)):
            raise OSError("the folder was moved or deleted")

    def _write_one(self, item: Input, result: Any) -> InputError | None:
        if self._is_stopped:
            return InputError("not written, because the folder of the results has gone.")
        try:
            failure = self._try_to_write(item, result)
            self.check_folder()
        except OSError:
            self._is_stopped = True
            raise
        return failure

    def _try_to_write(self, item: Input, result: Any) -> InputError | None:
        try:
            self._write(item, result)
        except InputError as error:
            return error
        except OSError as error:
            return InputError(f"the results cannot be written ({error.strerror or error}).")
        except MemoryError:
            return InputError("there is not enough memory to write its result; resize it.")
        return None
