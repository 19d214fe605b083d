"""Class names of Kinetics-400, -600, -700 and their union of 722 classes, and the mapping between them.

`kinetics_classes.csv` has one line per class of the union, in the order of its classes. A column for each set has "x"
if the class is in the set, or its name there if the set spells it differently, and is empty otherwise.
"""

import csv
from functools import cache
from importlib import resources

from eva_backbone.errors import InputError

UNION = "k722"


def kinetics_names(name: str) -> tuple[str, ...]:
    """Return the class names of "k400", "k600", "k700" or "k722", in the order of the class indices.

    Raises:
        InputError: There is no such set.
    """
    names = []
    for row in _rows(name):
        is_spelt_as_in_union = row[name] == "x"
        names.append(row[UNION] if is_spelt_as_in_union else row[name])
    return tuple(names)


def rows_of_k722(name: str) -> list[int]:
    """Return the K722 class index of each class of "k400", "k600" or "k700": the rows to take from a K722 head.

    The indices are increasing.

    Raises:
        InputError: There is no such set.
    """
    return [int(row["number"]) for row in _rows(name)]


def _rows(name: str) -> list[dict[str, str]]:
    rows = _table()
    if name not in rows[0] or name == "number":
        raise InputError(f"{name!r} is not a set of Kinetics classes; choose k400, k600, k700 or k722.")
    return [row for row in rows if row[name]]


@cache
def _table() -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath("kinetics_classes.csv").read_text("utf-8")
    return [{"number": str(number), **row} for number, row in enumerate(csv.DictReader(text.splitlines()))]
