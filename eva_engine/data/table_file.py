"""Read tables of users, .csv and .tsv with a header, such that no row or cell is cut or joined without a message."""

import csv
import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.text_file import open_text

from .corrupt_data import RecordErrors

logger = logging.getLogger(__name__)

# Far above the length of any cell: a quote that is never closed would make the rest of the file one cell.
_MAX_CELL = 1 << 20
_FIX_FILE = "give a table with a header, as UTF-8 text"


def read_rows(path: str | Path, kind: str, errors: RecordErrors) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each row for messages, such as "line 3", and its cells; the first row is the header.

    Cells of .csv files with commas, quotes or line ends are quoted (RFC 4180). Those of .tsv files are not, unless the
    header is quoted, or the cell has an outer pair of quotes and only doubled ones inside, as programs write it.

    Args:
        path: A table. Its suffix determines the delimiter: tabs for .tsv, else commas.
        kind: Noun for the file in messages, such as "caption file".
        errors: Collects rows that have not as many cells as the header, wrong quotes or NUL characters.

    Raises:
        InputError: The file cannot be read as UTF-8 text or has no header, or there is a bad row and `errors` stops at
            it.
    """
    is_tsv = Path(path).suffix.lower() == ".tsv"
    previous_limit = csv.field_size_limit(_MAX_CELL)
    try:
        with open_text(path, kind, _FIX_FILE, newline="") as file:
            header = file.readline()
            is_quoted = not is_tsv or header.startswith('"')
            rows = csv.reader(
                chain([header], file),
                delimiter="\t" if is_tsv else ",",
                quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
                strict=True,
            )
            yield from _complete_rows(rows, str(path), errors, is_quoted)
    finally:
        csv.field_size_limit(previous_limit)


def _complete_rows(rows: Any, path: str, errors: RecordErrors, is_quoted: bool) -> Iterator[tuple[str, list[str]]]:
    num_cells = 0
    spanning: list[str] = []
    while True:
        first, problem = rows.line_num + 1, ""
        try:
            cells = next(rows, None)
        except csv.Error as error:
            cells, problem = [], f"cannot be read ({error})"
        if cells is None:
            break
        name = f"line {first}" if rows.line_num == first else f"lines {first} to {rows.line_num}"
        num_cells = num_cells or len(cells)
        if any("\0" in cell for cell in cells):
            problem = "has a NUL character"
        elif cells and len(cells) != num_cells:
            problem = f"has {len(cells)} cells, but the header has {num_cells}"
        if problem:
            errors.add(name, problem, "correct it, with double quotes around cells that contain commas or quotes")
        elif cells:  # not a blank line
            if rows.line_num > first:
                spanning.append(name)
            yield name, cells if is_quoted else [_unquote(cell) for cell in cells]
    if spanning:
        sentence = "%s: %d row(s) span several lines, such as %s; check the quotes there if that is not intended."
        logger.warning(sentence, path, len(spanning), spanning[0])


def _unquote(cell: str) -> str:
    inner = cell[1:-1]
    is_quoted = len(cell) > 2 and cell[0] == cell[-1] == '"' and '""' in inner and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_quoted else cell


def find_column(columns: Sequence[str], name: str, path: str | Path) -> int | None:
    """Return the index of a column, None if there is none; case and outer spaces matter only if names differ in them.

    Raises:
        InputError: Several columns have this name.
    """
    found = [index for index, column in enumerate(columns) if column == name]
    found = found or [index for index, column in enumerate(columns) if column.strip().casefold() == name.casefold()]
    if len(found) > 1:
        raise InputError(f"{path} has {len(found)} columns named {name!r}; rename all but one of them.")
    return found[0] if found else None
