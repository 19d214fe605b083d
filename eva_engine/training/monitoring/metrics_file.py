"""metrics.json: one line of JSON for each logged iteration."""

import json
import logging
import os
from pathlib import Path

from detectron2.utils.events import EventWriter, get_event_storage

from eva_engine.atomic import atomic_write

from .scalars import NewScalars

logger = logging.getLogger(__name__)


class MetricsFile(EventWriter):
    """Appends the scalars of the storage to a file with the keys of Detectron2's `JSONWriter`.

    Values are those of the very iteration: smoothed ones would depend on what this process has seen since it was
    started. Lines are on disk when `write` returns.

    Args:
        path: the file; what it says of `start_iter` and later iterations is dropped, as are damaged lines.
        start_iter: first iteration of this process, counted from 0.
    """

    def __init__(self, path: str | Path, start_iter: int = 0) -> None:
        path = Path(path)
        if path.is_file():
            _drop_from(path, start_iter)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._new = NewScalars()

    def write(self) -> None:
        """Append a line for each iteration with new values."""
        for iteration, values in self._new.take(get_event_storage()):
            self._file.write(json.dumps({**values, "iteration": iteration}, sort_keys=True) + "\n")
            self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_evaluations(path: str | Path, start_iter: int) -> list[dict[str, float]]:
    """The lines of iterations before `start_iter` that hold the results of an evaluation; none if there is no file."""
    if not Path(path).is_file():
        return []
    with Path(path).open("rb") as file:
        lines = [json.loads(line) for line in file if _is_kept(line, start_iter)]
    return [line for line in lines if "total_loss" not in line]


def _drop_from(path: Path, start_iter: int) -> None:
    """Keep the whole lines of iterations before `start_iter`; the file is replaced in one step, if at all."""
    dropped, line = 0, b"\n"
    with path.open("rb") as old:
        for line in old:
            dropped += not _is_kept(line, start_iter)
    if not dropped and line.endswith(b"\n"):
        return
    with path.open("rb") as old, atomic_write(path) as new:
        new.writelines(line.rstrip(b"\n") + b"\n" for line in old if _is_kept(line, start_iter))
    logger.info("%s: %d lines from iteration %d on or damaged are dropped", path, dropped, start_iter)


def _is_kept(line: bytes, start_iter: int) -> bool:
    try:
        return json.loads(line)["iteration"] < start_iter
    except (ValueError, KeyError, TypeError):
        return False
