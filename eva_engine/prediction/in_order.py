"""Run functions in a thread, in order, while the caller works on what comes next."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self


class InOrder:
    """Run functions in one thread, at most `max_pending` behind the caller.

    Leaving the context manager waits for the functions that are still to be run. After an error nothing more is run.

    Args:
        max_pending: Number of calls that may wait; each keeps its arguments in memory.
    """

    def __init__(self, max_pending: int = 4) -> None:
        self._max_pending = max_pending
        self._pending: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "write")
        self._has_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def run(self, function: Callable[..., None], *args: Any) -> None:
        """Call ``function(*args)`` soon; an error is raised by this or a later call, or by `wait`."""
        self._pending.append(self._thread.submit(self._call, function, args))
        while self._pending and (len(self._pending) > self._max_pending or self._pending[0].done()):
            self._pending.popleft().result()

    def wait(self) -> None:
        """Wait until all functions have returned."""
        while self._pending:
            self._pending.popleft().result()

    def _call(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self._has_failed:
            return
        try:
            function(*args)
        except BaseException:
            self._has_failed = True
            raise
