"""Shared functions of the prepare scripts: reading JSON, atomic writing, error messages."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class PrepareError(Exception):
    """Error that the user can fix; the message is one sentence that says how."""


def dataset_root() -> Path:
    """Return the folder that holds all datasets: DETECTRON2_DATASETS, by default `datasets`."""
    return Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()


def read_json(path: Path, keys: tuple[str, ...]) -> dict:
    """Read a JSON file that must be an object with lists under `keys`.

    Raises:
        PrepareError: The file does not exist, is not JSON or lacks one of the lists.
    """
    if not path.is_file():
        raise PrepareError(f"{path}: no such file; give the path of the published annotation file.")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise PrepareError(f"{path} is not valid JSON ({error}); download the file again.") from error
    for key in keys:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise PrepareError(f"{path} has no list {key!r}; give the published annotation file.")
    return content


@contextmanager
def atomic_path(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary file in the folder of `path` that replaces `path` when the block ends without an error.

    After an error the temporary file is deleted and `path` is unchanged.

    Args:
        path: File to write; missing folders are created.
        sync: Force the data to disk before the rename, so that even a power failure cannot leave an incomplete file.
            This is slow for a million small files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """Write `content` to `path`, which appears only when it is complete."""
    with atomic_path(path) as temporary, temporary.open("w") as file:
        json.dump(content, file)


def run(main: Callable[[], None]) -> None:
    """Run a script's `main`; print a `PrepareError` as one line and exit with status 2.

    A termination signal exits through the cleanup of `atomic_path`.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except PrepareError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted; no incomplete file was left.", file=sys.stderr)
        sys.exit(130)
