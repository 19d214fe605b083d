"""One thread that runs the model for all clients, one request after the other."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from http import HTTPStatus
from queue import Full, Queue
from typing import Any, TypeVar

from .limits import RefusedError

Answer = TypeVar("Answer")


class Worker:
    """Run functions in one thread, in the order in which they were given.

    Args:
        max_waiting: Number of functions that may wait; further ones are refused.
    """

    def __init__(self, max_waiting: int) -> None:
        self._waiting: Queue[tuple[Future[Any], Callable[[], Any]]] = Queue(max_waiting)
        self._unfinished: set[Future[Any]] = set()
        # A daemon: the process ends without waiting for a model that takes minutes.
        threading.Thread(target=self._run, name="model", daemon=True).start()

    def call(self, function: Callable[[], Answer]) -> Answer:
        """Wait for the turn of `function` and return what it returns.

        Raises:
            RefusedError: Too many functions wait, or the server ends.
        """
        future: Future[Answer] = Future()
        self._unfinished.add(future)
        try:
            self._waiting.put_nowait((future, function))
            return future.result()
        except Full as error:
            raise RefusedError(
                f"{self._waiting.maxsize} requests already wait for the model; try again later.",
                HTTPStatus.SERVICE_UNAVAILABLE,
            ) from error
        finally:
            self._unfinished.discard(future)

    def close(self) -> None:
        """Refuse everything that waits, and what is running."""
        for future in list(self._unfinished):
            with suppress(InvalidStateError):
                future.set_exception(RefusedError("the server ends.", HTTPStatus.SERVICE_UNAVAILABLE))

    def _run(self) -> None:
        while True:
            future, function = self._waiting.get()
            if future.done():
                continue
            try:
                answer, failure = function(), None
            except BaseException as error:
                answer, failure = None, error
            with suppress(InvalidStateError):  # the server has ended in the meantime
                if failure is not None:
                    future.set_exception(failure)
                else:
                    future.set_result(answer)
