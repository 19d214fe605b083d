"""Write JSON that every reader accepts."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def to_json(document: Any, indent: int | None = None) -> str:
    """Return `document` as JSON; see `without_surrogates`.

    Raises:
        ValueError: A number is not finite. JSON cannot represent it, and strict readers would refuse the file.
    """
    return without_surrogates(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent))


@contextmanager
def json_lines(path: Path) -> Iterator[Callable[[Any], None]]:
    """Yield a function that writes a document as the next line of the new file `path`; see `whole_records`."""
    with whole_records(path) as write:
        yield lambda document: write(to_json(document) + "\n")


@contextmanager
def whole_records(path: Path) -> Iterator[Callable[[str], None]]:
    """Yield a function that appends a text to the new file `path` at once: all of it or, after an OSError, nothing."""
    with path.open("wb", buffering=0) as stream:

        def write(text: str) -> None:
            position, data = stream.tell(), without_surrogates(text).encode()
            try:
                while data:
                    data = data[stream.write(data) :]
            except OSError:
                stream.seek(position)
                stream.truncate()
                raise

        yield write


def without_surrogates(text: str) -> str:
    """Return `text` with question marks for undecodable bytes of file names (unpaired surrogates)."""
    return text.encode("utf-8", "replace").decode("utf-8")
