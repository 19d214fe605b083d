"""The file metrics.json: one line of JSON for each logged iteration."""

import json
import logging
import os
from pathlib import Path

from detectron2.utils.events import EventWriter, get_event_storage

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_write
from eva_engine.metrics_records import parse_record, read_lines

from .scalars import NewScalars

logger = logging.getLogger(__name__)


class MetricsFile(EventWriter):
    """Append the scalars of the event storage to a file, with the keys of Detectron2's `JSONWriter`.

    Values are not smoothed: a smoothed value would depend on what this process has seen since it was started, so that a
    resumed run would write other values. Lines are on disk when `write` returns.

    Args:
        path: The file. Its lines for `start_iter` and later iterations are dropped, as are damaged lines.
        start_iter: First iteration of this process, counted from 0.

    Raises:
        InputError: `path` is not a regular file.
    """

    def __init__(self, path: str | Path, start_iter: int = 0) -> None:
        path = Path(path)
        if path.exists() and not path.is_file():  # opening a pipe would block
            raise InputError(f"{path}: not a regular file; delete it, or give another train.output_dir.")
        if path.is_file():
            _drop_lines(path, start_iter)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("a", encoding="utf-8")
        self._new = NewScalars()

    def write(self) -> None:
        """Append one line for each iteration with new values."""
        for iteration, values in self._new.take(get_event_storage()):
            self._file.write(json.dumps({**values, "iteration": iteration}, sort_keys=True) + "\n")
            self._file.flush()
        os.fsync(self._file.fileno())
        # Writing to a file that was moved or deleted is no error for the system.
        os.stat(self._path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_evaluations(path: str | Path, start_iter: int) -> list[dict[str, float]]:
    """Read the lines before `start_iter` that contain results of an evaluation; return [] if there is no file."""
    if not Path(path).is_file():
        return []
    records = [record for line in read_lines(Path(path)) if (record := parse_record(line))]
    return [record for record in records if record["iteration"] < start_iter and "total_loss" not in record]


def _drop_lines(path: Path, start_iter: int) -> None:
    """Keep only the intact lines of iterations before `start_iter`; replace the file atomically if it changes."""
    num_dropped = 0
    last_line = b"\n"
    for line in read_lines(path):
        if not _is_kept(line, start_iter):
            num_dropped += 1
        last_line = line
    if num_dropped == 0 and last_line.endswith(b"\n"):
        return
    with atomic_write(path) as new:
        for line in read_lines(path):
            if _is_kept(line, start_iter):
                new.write(line.rstrip(b"\n") + b"\n")
    logger.info("%s: dropped %d lines that are damaged or from iteration %d or later", path, num_dropped, start_iter)


def _is_kept(line: bytes, start_iter: int) -> bool:
    record = parse_record(line)
    return record is not None and record["iteration"] < start_iter
