"""Kinetics-400, -600 and -700 and their union of 722 classes: names in the order of the classes, and how they map.

`kinetics_classes.csv` has a line for each class of the union, in its order, and says in which sets it is: "x", or the
name where a set writes it differently.
"""

import csv
from functools import cache
from importlib import resources

from eva_backbone.errors import InputError

UNION = "k722"


def kinetics_names(name: str) -> tuple[str, ...]:
    """Names of the classes of "k400", "k600", "k700" or "k722", in their order.

    Raises:
        InputError: another name.
    """
    return tuple(row[UNION] if row[name] == "x" else row[name] for row in _rows(name))


def rows_of_k722(name: str) -> list[int]:
    """For each class of "k400", "k600" or "k700" its number in K722, increasing: the rows of a K722 head.

    Raises:
        InputError: another name.
    """
    return [int(row["number"]) for row in _rows(name)]


def _rows(name: str) -> list[dict[str, str]]:
    rows = _table()
    if name not in rows[0] or name == "number":
        raise InputError(f"{name!r} is no set of Kinetics' classes; choose k400, k600, k700 or k722.")
    return [row for row in rows if row[name]]


@cache
def _table() -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath("kinetics_classes.csv").read_text("utf-8")
    return [{"number": str(number), **row} for number, row in enumerate(csv.DictReader(text.splitlines()))]
