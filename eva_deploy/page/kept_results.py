"""The last results of the page, which its threshold slider draws again without the model."""

import secrets
import threading
from collections import OrderedDict

from eva_engine.prediction.result import Result

from .limits import RefusedError


class KeptResults:
    """Results by a random key that only the client who got it knows; the oldest ones are dropped.

    Args:
        max_bytes: Largest size of the images of all results together. The last result is always kept.
    """

    def __init__(self, max_bytes: int = 500_000_000) -> None:
        self._max_bytes = max_bytes
        self._results: OrderedDict[str, tuple[Result, int]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, result: Result) -> str:
        """Keep a result and return its key."""
        key = secrets.token_urlsafe()
        size = 0 if result.image is None else result.image.nbytes
        with self._lock:
            self._results[key] = result, size
            while len(self._results) > 1 and sum(size for _, size in self._results.values()) > self._max_bytes:
                self._results.popitem(last=False)
        return key

    def get(self, key: str) -> Result:
        """Return the result of a key.

        Raises:
            RefusedError: It is not kept any more.
        """
        with self._lock:
            if key not in self._results:
                raise RefusedError("this result is not kept any more; predict again.")
            self._results.move_to_end(key)
            return self._results[key][0]
