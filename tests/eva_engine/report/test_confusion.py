"""Confusion matrices of few and of many classes."""

import numpy as np

from eva_engine.report.confusion import MAX_CLASSES, confusion_parts
from eva_engine.report.sections import ImageFigure


def test_few_classes_with_a_row_for_none():
    counts = np.array([[5, 2, 1], [0, 0, 0], [4, 0, 0]])
    figure = ImageFigure("one", [])
    parts = confusion_parts(
        counts, ["a", "b"], unit="objects", none_row="nothing", none_column="missed", examples={(2, 0): figure}
    )
    matrix, errors = parts
    assert (matrix.row_names, matrix.column_names) == (["a", "b", "nothing"], ["a", "b", "missed"])
    assert matrix.counts == counts.tolist()
    assert (matrix.row_colors, matrix.column_colors) == ([0, 1, -1], [0, 1, -1])
    assert matrix.examples == {"2,0": figure}
    assert errors.rows == [["nothing", "a", 4, 100.0], ["a", "b", 2, 25.0], ["a", "missed", 1, 12.5]]


def test_of_many_classes_those_that_are_confused_most():
    counts = np.diag(np.full(1203, 50))
    counts[700, 900], counts[900, 3] = 9, 4
    counts[np.arange(100, 160), np.arange(101, 161)] = 1
    figure = ImageFigure("one", [])
    names = [f"class {index}" for index in range(1203)]
    matrix, errors = confusion_parts(counts, names, unit="images", examples={(700, 900): figure})
    assert len(matrix.row_names) == len(matrix.column_names) == MAX_CLASSES
    assert {"class 3", "class 700", "class 900"} <= set(matrix.row_names)
    row, column = matrix.row_names.index("class 700"), matrix.column_names.index("class 900")
    assert matrix.counts[row][column] == 9
    assert matrix.examples == {f"{row},{column}": figure}
    assert matrix.row_colors[row] == 700
    assert len(errors.rows) == 30
    assert errors.rows[0][:3] == ["class 700", "class 900", 9]
    assert "Of 1203 classes, the 20" in matrix.note


def test_percent_of_the_true_class():
    matrix, errors = confusion_parts(np.array([[300, 100], [0, 0]]), ["a", "b"], unit="pixels", as_percent=True)
    assert matrix.counts == [[75, 25], [0, 0]]
    assert errors.rows == [["a", "b", 100, 25.0]]
