"""Read scalars from Detectron2's `EventStorage`."""

from detectron2.utils.events import EventStorage


class NewScalars:
    """Return each value of an event storage once.

    Each name is tracked separately: values that are put after the others of their iteration were taken, such as the
    results of an evaluation, are returned by the next call.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def take(self, storage: EventStorage) -> list[tuple[int, dict[str, float]]]:
        """Return the newest values that were not taken before, by name, for each iteration in ascending order."""
        by_iteration: dict[int, dict[str, float]] = {}
        for name, (value, iteration) in storage.latest().items():
            if iteration > self._taken.get(name, -1):
                by_iteration.setdefault(iteration, {})[name] = value
                self._taken[name] = iteration
        return sorted(by_iteration.items())


def values_since(storage: EventStorage, name: str, iteration: int) -> dict[int, float]:
    """Return the values of `name` from `iteration` on, by iteration; empty if the name was never put."""
    if name not in storage.histories():
        return {}
    newest_first = reversed(storage.history(name).values())
    values = {}
    for value, at in newest_first:
        if at < iteration:
            break
        values[at] = value
    return values
