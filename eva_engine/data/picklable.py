"""Mappers that data workers can be started with."""

from collections.abc import Callable
from typing import Any


class Picklable:
    """A callable that may be a lambda or a local function, pickled by value.

    Worker processes that are spawned, not forked, receive the data set as a pickle.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        import cloudpickle  # only needed where workers are spawned

        return _unpickle, (cloudpickle.dumps(self.function),)


def _unpickle(pickled: bytes) -> Picklable:
    import cloudpickle

    return Picklable(cloudpickle.loads(pickled))
