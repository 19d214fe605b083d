"""Lay out texts for messages and terminals: tables with aligned columns, and lists that end after the first names."""

from collections.abc import Sequence


def align_columns(rows: Sequence[Sequence[str]], numbers_right: bool = False) -> list[str]:
    """Return a line for each row, with two spaces between the columns.

    Args:
        rows: Cells of a table, [R][C], the header included.
        numbers_right: Align all columns except the first to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            is_right = numbers_right and column > 0
            cells.append(cell.rjust(width) if is_right else cell.ljust(width))
        lines.append("  ".join(cells).rstrip())
    return lines


def join_first(texts: Sequence[str], most: int) -> str:
    """Return the first `most` texts, separated by commas, and the number of the others: "a, b and 3 more"."""
    joined = ", ".join(texts[:most])
    if len(texts) > most:
        joined += f" and {len(texts) - most} more"
    return joined
