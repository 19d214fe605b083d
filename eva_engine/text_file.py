"""Read text and JSON files of users: UTF-8, and every problem is one sentence."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from eva_backbone.errors import InputError


def read_text(path: str | Path, kind: str, fix: str, max_bytes: int | None = None) -> str:
    """Read a UTF-8 text file, with or without a byte order mark.

    Args:
        path: The file. A pipe or device, from which reading could block or never end, is refused.
        kind: Noun for the file in messages, such as "annotation file".
        fix: How to fix any problem, such as "give one name per line".
        max_bytes: Largest accepted size of the file; None for any.

    Raises:
        InputError: The file does not exist, cannot be read, is larger than `max_bytes` or not UTF-8.
    """
    with _one_sentence(path, kind, fix):
        size = Path(path).stat().st_size
        if max_bytes is not None and size > max_bytes:
            raise InputError(f"{path}: {size:,} bytes, but a {kind} has at most {max_bytes:,}; {fix}.")
        return Path(path).read_bytes().decode("utf-8-sig")


def read_lines(path: str | Path, kind: str, fix: str) -> list[str]:
    r"""Read the lines of a text file that are not blank; see `read_text` for the arguments and errors.

    Lines end with \n, \r\n or \r only. `str.splitlines` would also split at U+2028, form feeds and others.
    """
    with open_text(path, kind, fix) as file:
        return [line.removesuffix("\n") for line in file if line.strip()]


@contextmanager
def open_text(path: str | Path, kind: str, fix: str, newline: str | None = None) -> Iterator[TextIO]:
    """Open a text file to read it in parts; see `read_text` for the arguments and errors, `open` for `newline`."""
    with _one_sentence(path, kind, fix), open(path, encoding="utf-8-sig", newline=newline) as file:
        yield file


@contextmanager
def open_binary(path: str | Path, kind: str, fix: str) -> Iterator[BinaryIO]:
    """Open a UTF-8 text file to read and decode its bytes in parts; see `read_text` for the arguments and errors."""
    with _one_sentence(path, kind, fix), open(path, "rb") as file:
        yield file


@contextmanager
def _one_sentence(path: str | Path, kind: str, fix: str) -> Iterator[None]:
    """Check that `path` is a regular file, and turn errors while it is read into an InputError of one sentence."""
    try:
        if not Path(path).is_file():
            reason = "not a regular file" if Path(path).exists() else f"no such {kind}"
            raise InputError(f"{path}: {reason}; {fix}.")
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(f"{path}: not UTF-8 text (byte 0x{byte:02x} cannot be decoded); {fix}.") from error
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise InputError(f"{path}: the {kind} cannot be read ({error}); {fix}.") from error


def read_json(path: str | Path, kind: str, fix: str, max_bytes: int | None = None) -> Any:
    """Read a JSON file; see `read_text` for the arguments.

    Raises:
        InputError: The file cannot be read, or is not JSON.
    """
    return parse_json(read_text(path, kind, fix, max_bytes), str(path), fix)


def parse_json(text: str, source: str, fix: str) -> Any:
    """Parse JSON.

    Args:
        text: JSON document.
        source: File and, if it holds several documents, the line; for messages.
        fix: How to fix any problem.

    Raises:
        InputError: `text` is not JSON, or nested too deeply for Python's parser.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{source}: not valid JSON ({reason}); {fix}.") from error
