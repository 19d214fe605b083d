"""Make texts from untrusted files, such as file and class names, safe for terminals and spreadsheets."""

import csv
import io
import logging
from collections.abc import Sequence

MAX_CHARACTERS = 2_000
_MAX_LOG_CHARACTERS = 20_000  # of a message that may be a table
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: object, max_characters: int = MAX_CHARACTERS, keep: str = "") -> str:
    r"""Return `text` for a terminal: control and invisible characters are written as escape sequences such as \x1b.

    Args:
        text: Message or result, which may contain names from files.
        max_characters: Length of the result from which it is cut and ends with "...".
        keep: Control characters to leave as they are.
    """
    text = str(text)
    start = text[: max_characters + 1]  # the rest is cut anyway
    safe = "".join(letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in start)
    return safe if len(safe) <= max_characters else f"{safe[:max_characters]}..."


class PrintableFormatter(logging.Formatter):
    """Format log messages as `printable` text with line breaks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted message."""
        return printable(super().format(record), _MAX_LOG_CHARACTERS, keep="\n\t")


def csv_row(values: Sequence[object]) -> str:
    """Return a line of CSV; a text that a spreadsheet would take for a formula gets an apostrophe in front.

    Source: https://owasp.org/www-community/attacks/CSV_Injection.
    """
    cells = [f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value for value in values]
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue()
