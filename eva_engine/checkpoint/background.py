"""One task at a time in a thread of its own, whose error reaches whoever started it."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

logger = logging.getLogger(__name__)


class BackgroundTask:
    """Runs functions beside the main thread; the process does not end before the last one has."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._task: Future[None] | None = None

    def start(self, function: Callable[[], None]) -> None:
        """Run `function` after the one before has ended; raises the error of that one."""
        self.wait()
        self._task = self._thread.submit(_logging_failure, function)

    def poll(self) -> None:
        """Raise the error of a task that has failed, once; else return at once."""
        if self._task is not None and self._task.done():
            self.wait()

    def wait(self) -> None:
        """Return when no task is running; raises the error of one that has failed, once."""
        task, self._task = self._task, None
        if task is not None:
            task.result()


def _logging_failure(function: Callable[[], None]) -> None:
    try:
        function()
    except Exception as error:  # nobody may ask any more, when the process is about to end
        logger.error("%s", error)
        raise
