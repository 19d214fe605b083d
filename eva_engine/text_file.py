"""Read text and JSON files of users: UTF-8, and every problem is one sentence."""

import json
from pathlib import Path
from typing import Any

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
    path = Path(path)
    try:
        if not path.is_file():
            reason = "not a regular file" if path.exists() else f"no such {kind}"
            raise InputError(f"{path}: {reason}; {fix}.")
        size = path.stat().st_size
        if max_bytes is not None and size > max_bytes:
            raise InputError(f"{path}: {size:,} bytes, but a {kind} has at most {max_bytes:,}; {fix}.")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start} cannot be decoded); {fix}.") from error
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
