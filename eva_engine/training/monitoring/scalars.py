"""Reading scalars out of Detectron2's `EventStorage`."""

from itertools import takewhile

from detectron2.utils.events import EventStorage


class NewScalars:
    """Hands out each value of a storage once.

    It looks at every name by itself: what is put after the values of an iteration were taken, as the final evaluation
    is, comes with the next call.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def take(self, storage: EventStorage) -> list[tuple[int, dict[str, float]]]:
        """Newest value of each name, unless taken before, by iteration in rising order."""
        by_iteration: dict[int, dict[str, float]] = {}
        for name, (value, iteration) in storage.latest().items():
            if iteration > self._taken.get(name, -1):
                by_iteration.setdefault(iteration, {})[name] = value
                self._taken[name] = iteration
        return sorted(by_iteration.items())


def values_since(storage: EventStorage, name: str, iteration: int) -> dict[int, float]:
    """Values of `name` by iteration, those of `iteration` and later; none if it was never put."""
    if name not in storage.histories():
        return {}
    newest_first = reversed(storage.history(name).values())
    return {at: value for value, at in takewhile(lambda pair: pair[1] >= iteration, newest_first)}
