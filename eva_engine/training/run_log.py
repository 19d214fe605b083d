"""Log of a run: the terminal on rank 0, and a file for every process."""

import logging
import sys
from pathlib import Path

from eva_engine.safe_text import PrintableFormatter, printable
from eva_engine.tasks import registered_packages

_ENGINE_LOGGERS = ("detectron2", "eva_backbone", "eva_engine", "fvcore")


def start_log(output_dir: str, rank: int = 0) -> None:
    """Write messages to `output_dir`/log.txt (log.txt.rank1, ...) and, on rank 0, from level INFO up to the terminal.

    This replaces the log of an earlier run in the same process.
    """
    file = Path(output_dir, "log.txt" if rank == 0 else f"log.txt.rank{rank}")
    handlers: list[logging.Handler] = [_LogFile(file, encoding="utf-8")]
    if rank == 0:
        handlers.append(_Terminal(sys.stdout))
        handlers[-1].setLevel(logging.INFO)
        handlers[-1].setFormatter(_TerminalFormatter("[%(asctime)s] %(message)s", "%H:%M:%S"))
    handlers[0].setFormatter(PrintableFormatter("[%(asctime)s %(name)s] %(levelname)s: %(message)s", "%m-%d %H:%M:%S"))
    for name in (*_ENGINE_LOGGERS, *registered_packages()):
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
            old.close()
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        for handler in handlers:
            logger.addHandler(handler)


class _LogFile(logging.FileHandler):
    """Report once, in one line, that the file cannot be written, and continue to log to the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self.addFilter(lambda _: False)
            print(f"warning: {printable(self.baseFilename)} cannot be written ({error.strerror})", file=sys.stderr)
        else:
            super().handleError(record)


class _Terminal(logging.StreamHandler):
    """Stop printing when nobody reads the output (`| head`) or its disk is full; the run logs to its file as well."""

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exc_info()[1], OSError):
            self.addFilter(lambda _: False)
        else:
            super().handleError(record)


class _TerminalFormatter(PrintableFormatter):
    """Print the level only if it is not INFO, because progress lines need the width; the file has all levels."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        if record.levelno == logging.INFO:
            return text
        return text.replace("] ", f"] {record.levelname}: ", 1)
