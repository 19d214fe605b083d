"""What to do with a bad record: stop with one sentence, or skip it, count it and name it."""

import logging

from eva_backbone.errors import InputError

logger = logging.getLogger(__name__)

_MAX_LOGGED = 20


def check_on_error(on_error: str) -> str:
    """Returns ``on_error`` if it is ``"stop"`` or ``"skip"``, else raises `InputError`."""
    if on_error not in ("stop", "skip"):
        raise InputError(f'on_error is {on_error!r}, expected "stop" or "skip".')
    return on_error


def or_skip(error: InputError, what: str) -> InputError:
    """`error`, which also says that such `what` ("images") can be passed over."""
    return InputError(f'{str(error).rstrip(".")}, or pass over such {what} with on_error="skip".')


class RecordErrors:
    """Bad records of one file.

    Args:
        source: the file, named at the start of every sentence.
        on_error: ``"stop"`` raises `InputError` at the first bad record; ``"skip"`` logs and collects them.
    """

    def __init__(self, source: str, on_error: str) -> None:
        self.source = source
        self.on_error = check_on_error(on_error)
        self.sentences: list[str] = []

    def add(self, record: str, problem: str, mend: str) -> None:
        """``record`` ("annotation 12") + ``problem`` ("has a box without area") + ``mend`` ("give it a size")."""
        sentence = f"{self.source}: {record} {problem}; {mend}"
        # JSON can hold halves of surrogate pairs, which no log or terminal takes.
        sentence = sentence.encode("utf-8", "backslashreplace").decode()
        if self.on_error == "stop":
            raise InputError(f'{sentence}, or leave bad records out with on_error="skip".')
        if len(self.sentences) < _MAX_LOGGED:
            logger.warning("Skipped: %s.", sentence)
        self.sentences.append(sentence)

    def log_total(self) -> None:
        """One closing line, if anything was skipped."""
        if self.sentences:
            unnamed = max(0, len(self.sentences) - _MAX_LOGGED)
            logger.warning(
                "%s: %d bad record(s) skipped%s.",
                self.source,
                len(self.sentences),
                f", the last {unnamed} not named above" if unnamed else "",
            )
