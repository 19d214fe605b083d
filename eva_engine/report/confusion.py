"""Show which classes are mistaken for which, for any number of classes."""

from collections.abc import Mapping, Sequence

import numpy as np

from .sections import ImageFigure, Matrix, Table

MAX_CLASSES = 20  # rows of a matrix that fits on a page
MAX_CONFUSIONS = 30


def confusion_parts(
    counts: np.ndarray,
    names: Sequence[str],
    *,
    unit: str,
    none_row: str = "",
    none_column: str = "",
    examples: Mapping[tuple[int, int], ImageFigure] | None = None,
    note: str = "",
    as_percent: bool = False,
) -> list[Matrix | Table]:
    """Return the confusion matrix, of the classes that are confused most if there are more than 20, and a table.

    Args:
        counts: Counts by true class (rows) and predicted class (columns), [K, K]; with `none_row` or `none_column` the
            last row or column, [K + 1, K + 1], is that of no class.
        names: Names of the K classes.
        unit: What is counted, such as "images".
        none_row: Name of the row of predictions without a true class.
        none_column: Name of the column of what was not predicted.
        examples: Images of cells.
        note: Sentence that explains the counts.
        as_percent: Show cells of the matrix in percent of their true class, rounded.
    """
    num_classes = len(names)
    examples = examples or {}
    errors = counts.astype(np.int64)
    errors[np.arange(num_classes), np.arange(num_classes)] = 0
    shown = np.flatnonzero(counts[:num_classes].sum(1) + counts[:, :num_classes].sum(0))
    if len(shown) > MAX_CLASSES:
        between = errors[:num_classes, :num_classes]
        order = np.argsort(-(between.sum(0) + between.sum(1))[shown], kind="stable")
        shown = np.sort(shown[order[:MAX_CLASSES]])
        note = f"{note} Of {num_classes} classes, the {MAX_CLASSES} that are confused most with others.".strip()
    rows, columns = shown.tolist(), shown.tolist()
    row_names, column_names = [names[index] for index in rows], [names[index] for index in columns]
    row_colors, column_colors = list(rows), list(columns)
    if none_row:
        rows.append(num_classes)
        row_names.append(none_row)
        row_colors.append(-1)
    if none_column:
        columns.append(num_classes)
        column_names.append(none_column)
        column_colors.append(-1)
    cells = {}
    for (row, column), figure in examples.items():
        if row in rows and column in columns:
            cells[f"{rows.index(row)},{columns.index(column)}"] = figure
    values, what = counts, unit.capitalize()
    if as_percent:
        values = np.rint(100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)).astype(np.int64)
        what = f"Percent of the {unit} of a class"
    matrix = Matrix(
        "Confusion matrix",
        row_names,
        column_names,
        values[np.ix_(rows, columns)].tolist(),
        f"{what} by true class (rows) and predicted class (columns). {note}".strip(),
        row_colors,
        column_colors,
        cells,
    )
    return [matrix, _top_confusions(counts, errors, names, unit, none_row, none_column)]


def _top_confusions(
    counts: np.ndarray, errors: np.ndarray, names: Sequence[str], unit: str, none_row: str, none_column: str
) -> Table:
    totals = counts.sum(1)
    order = np.argsort(-errors, axis=None, kind="stable")[:MAX_CONFUSIONS]
    rows, colors = [], []
    for row, column in zip(*np.unravel_index(order, errors.shape), strict=True):
        count = int(errors[row, column])
        if count:
            true = names[row] if row < len(names) else none_row
            predicted = names[column] if column < len(names) else none_column
            rows.append([true, predicted, count, 100 * count / float(totals[row])])
            colors.append(int(row) if row < len(names) else -1)
    columns = {"true": "", "predicted": "", unit: "", "% of the true class": ".1f"}
    return Table("Most frequent errors", columns, rows, colors=colors, bar=unit)
