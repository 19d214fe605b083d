"""Take items from an iterable in a thread while the caller works on earlier ones."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
# A thread that does not end within this time is left alone; it ends with the process.
_STOP_SECONDS = 5.0


class Prefetch(Generic[Item]):
    """Iterate over items that a thread takes from an iterable, at most `size` ahead.

    An error of the iterable is raised after the items before it. Leaving the context manager ends the thread.

    Args:
        items: What to take items from.
        size: Number of items that may wait.
        drops_old: Whether the oldest waiting item is dropped to make room, for cameras; otherwise the thread waits.
        stop: Function that makes the iterable end soon if it may wait for a long time.

    Attributes:
        num_dropped: Number of items that were dropped.
    """

    def __init__(
        self, items: Iterable[Item], size: int, *, drops_old: bool = False, stop: Callable[[], None] = lambda: None
    ) -> None:
        self.num_dropped = 0
        self._items, self._size, self._drops_old, self._stop = items, size, drops_old, stop
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_closed = self._is_finished = False
        self._error: BaseException | None = None
        # A daemon does not keep a process alive that was asked to end.
        self._thread = threading.Thread(target=self._take_all, name="decode", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if not self._is_finished:
            self._stop()
        self._thread.join(_STOP_SECONDS)

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_finished)
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def _take_all(self) -> None:
        try:
            for item in self._items:
                if not self._add(item):
                    break
        except BaseException as error:  # raised in the caller's thread
            self._error = error
        finally:
            with self._changed:
                self._is_finished = True
                self._changed.notify_all()

    def _add(self, item: Item) -> bool:
        """Add an item; return False if no more are wanted."""
        with self._changed:
            if self._drops_old and len(self._waiting) == self._size:
                self._waiting.popleft()
                self.num_dropped += 1
            self._changed.wait_for(lambda: len(self._waiting) < self._size or self._is_closed)
            self._waiting.append(item)
            self._changed.notify_all()
            return not self._is_closed
