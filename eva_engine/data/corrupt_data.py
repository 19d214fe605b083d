"""Bad records of annotation files and corrupt samples in training: stop at the first one, or skip and log them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from eva_backbone.errors import InputError
from eva_engine.safe_text import printable

logger = logging.getLogger(__name__)

_MAX_LOGGED = 20
_MAX_CHARACTERS = 400
_MAX_IN_A_ROW = 20


def check_on_error(on_error: str) -> str:
    """Return `on_error` if it is "stop" or "skip", else raise InputError."""
    if on_error not in ("stop", "skip"):
        raise InputError(f'on_error is {on_error!r}, expected "stop" or "skip".')
    return on_error


def suggest_skipping(error: InputError, samples: str) -> InputError:
    """Return `error` with the advice to skip such `samples`, a plural noun like "images", added to its message."""
    return InputError(f'{str(error).rstrip(".")}, or skip such {samples} with on_error="skip".')


@dataclass(frozen=True)
class BadRecord:
    """A bad record of an annotation file.

    Attributes:
        source: Name of the file.
        record: Name of the record, such as "annotation 12".
        problem: Rest of the sentence, such as "has a box without area".
        fix: How to fix the file, such as "give it a size".
        image: Path of the image that it belongs to; "" if it belongs to none, or none that exists.
    """

    source: str
    record: str
    problem: str
    fix: str
    image: str = ""


_collected: ContextVar[list[BadRecord] | None] = ContextVar("collected", default=None)


@contextmanager
def record_errors_collected() -> Iterator[list[BadRecord]]:
    """Collect the bad records of all files that are read in the block, whatever their `on_error` is."""
    records: list[BadRecord] = []
    token = _collected.set(records)
    try:
        yield records
    finally:
        _collected.reset(token)


def is_data_check() -> bool:
    """Return whether a data check is reading the data, in a block of `record_errors_collected`."""
    return _collected.get() is not None


class RecordErrors:
    """Bad records of one annotation file.

    Args:
        source: Name of the file, with which every message starts.
        on_error: "stop" raises InputError at the first bad record, "skip" logs and collects them.

    Attributes:
        messages: One message for each bad record so far.
        added: Arguments of each call of `add`, to report the same records again.
    """

    def __init__(self, source: str, on_error: str) -> None:
        self.source = source
        self.on_error = check_on_error(on_error)
        self.messages: list[str] = []
        self.added: list[tuple[str, str, str, str]] = []

    def add(self, record: str, problem: str, fix: str, image: str = "") -> None:
        """Report a bad record.

        Args:
            record: Name of the record, such as "annotation 12".
            problem: Rest of the sentence, such as "has a box without area".
            fix: How to fix the file, such as "give it a size".
            image: Path of the image that the record belongs to, for the data check.

        Raises:
            InputError: `on_error` is "stop", and the block is not one of `record_errors_collected`.
        """
        self.added.append((record, problem, fix, image))
        collected = _collected.get()
        if collected is not None:
            collected.append(BadRecord(self.source, record, problem, fix, image))
            return
        message = f"{self.source}: {printable(record, _MAX_CHARACTERS)} {printable(problem, _MAX_CHARACTERS)}; {fix}"
        if self.on_error == "stop":
            raise InputError(f'{message}, or skip bad records with on_error="skip".')
        if len(self.messages) < _MAX_LOGGED:
            logger.warning("Skipped: %s.", message)
        self.messages.append(message)

    def log_total(self) -> None:
        """Log the number of skipped records, if any."""
        if self.messages:
            not_logged = max(0, len(self.messages) - _MAX_LOGGED)
            logger.warning(
                "%s: %d bad record(s) skipped%s.",
                self.source,
                len(self.messages),
                f", the last {not_logged} of them are not logged above" if not_logged else "",
            )


class SkippedSamples:
    """Corrupt samples (images, pairs, videos) that a mapper has skipped in this process.

    Every worker of a loader counts and logs its own ones.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._files)

    def reset(self) -> None:
        """Restart the count of corrupt samples in a row, after one that could be used."""
        self._in_a_row = 0

    def add(self, file_name: str, error: InputError) -> None:
        """Log each corrupt sample once, and stop after too many in a row.

        Args:
            file_name: File of the sample.
            error: Why it cannot be used.

        Raises:
            InputError: 20 samples in a row are corrupt.
        """
        self._in_a_row += 1
        if self._in_a_row >= _MAX_IN_A_ROW:
            raise InputError(
                f"{_MAX_IN_A_ROW} samples in a row could not be used, the last one because: {error} "
                "Check the folder of the data."
            ) from error
        if file_name not in self._files:
            self._files.add(file_name)
            logger.warning("Skipped (%d so far in this worker): %s", len(self), error)
