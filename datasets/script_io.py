"""What the prepare scripts share: JSON in, JSON out in one piece, errors as one sentence."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class PrepareError(Exception):
    """Something the user can mend; the message is one sentence with the mend in it."""


def dataset_root() -> Path:
    """DETECTRON2_DATASETS, by default ``datasets``."""
    return Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()


def read_json(path: Path, keys: tuple[str, ...]) -> dict:
    """The content of a JSON file that must be an object with lists under ``keys``."""
    if not path.is_file():
        raise PrepareError(f"{path}: no such file; give the path of the published annotation file.")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise PrepareError(f"{path} is not valid JSON ({error}); fetch the file again.") from error
    for key in keys:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise PrepareError(f"{path} has no list {key!r}; give the published annotation file.")
    return content


@contextmanager
def whole_file(path: Path, sync: bool = True) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well, and goes when it does not.

    With ``sync`` the data are on disk before the rename, so that not even a power cut leaves half a file under the
    final name; that is slow for a million small files.
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
    with whole_file(path) as temporary, temporary.open("w") as file:
        json.dump(content, file)


def run(main: Callable[[], None]) -> None:
    """Runs a script: `PrepareError` is printed after ``error:`` (status 2); a termination signal cleans up first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except PrepareError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted; nothing was left half-written.", file=sys.stderr)
        sys.exit(130)
