"""Read the lines of metrics.json, a file that may be damaged or come from elsewhere."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

_MAX_LINE = 2**20  # bytes; the metrics of ten thousand classes


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a metrics.json; one that is longer than those of any run comes in pieces."""
    with path.open("rb") as file:
        yield from iter(partial(file.readline, _MAX_LINE), b"")


def parse_record(line: bytes) -> dict[str, Any] | None:
    """Return the iteration and the numbers, or None, in a line of a metrics.json by name; None if it is damaged."""
    try:
        record = json.loads(line)
        iteration = record["iteration"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(iteration, int) or not 0 <= iteration < 2**53:
        return None
    return {name: value for name, value in record.items() if _is_value(value)}


def _is_value(value: Any) -> bool:
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**1000)
