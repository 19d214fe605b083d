"""JSON that every reader takes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def to_json(document: Any, indent: int | None = None) -> str:
    """`document` as text. Bytes of file names that are no text become question marks."""
    # JSON has no NaN; failing here is better than a file that strict readers refuse.
    return printable(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent))


@contextmanager
def json_lines(path: Path) -> Iterator[Callable[[Any], None]]:
    """A function that writes a document as the next line of a new file; each line is there as soon as it is written."""
    with path.open("w", encoding="utf-8") as stream:

        def write(document: Any) -> None:
            stream.write(to_json(document) + "\n")
            stream.flush()

        yield write


def printable(text: str) -> str:
    """`text` with question marks for the bytes of file names that are no text."""
    return text.encode("utf-8", "replace").decode("utf-8")
