"""Write JSON that every reader accepts."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def to_json(document: Any, indent: int | None = None) -> str:
    """Return `document` as JSON; undecodable bytes in file names become question marks.

    Raises:
        ValueError: A number is not finite. JSON cannot represent it, and strict readers would refuse the file.
    """
    return printable(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent))


@contextmanager
def json_lines(path: Path) -> Iterator[Callable[[Any], None]]:
    """Yield a function that writes a document as the next line of the new file `path` and flushes it."""
    with path.open("w", encoding="utf-8") as stream:

        def write(document: Any) -> None:
            stream.write(to_json(document) + "\n")
            stream.flush()

        yield write


def printable(text: str) -> str:
    """Return `text` with question marks for undecodable bytes of file names (unpaired surrogates)."""
    return text.encode("utf-8", "replace").decode("utf-8")
