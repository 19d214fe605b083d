"""The folder of the current run, in which datasets store what they have read."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def caching_in(output_dir: str | Path) -> Iterator[None]:
    """Let datasets that are read in the block store what they have read below the folder of a run."""
    token = _folder.set(Path(output_dir, "cache"))
    try:
        yield
    finally:
        _folder.reset(token)


def cache_folder() -> Path | None:
    """Return the folder for caches, which may not exist yet; None outside of a run."""
    return _folder.get()
