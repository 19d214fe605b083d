"""The classes of the Kinetics sets and their numbers in the union."""

import pytest

from eva_backbone.errors import InputError
from eva_video import kinetics_names, rows_of_k722

SIZES = {"k400": 400, "k600": 600, "k700": 700, "k722": 722}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_sorted_names_of_every_set(name, size):
    names = kinetics_names(name)
    assert len(set(names)) == size
    assert list(names) == sorted(names)
    rows = rows_of_k722(name)
    assert len(rows) == size
    assert rows == sorted(set(rows))
    assert set(rows) <= set(range(722))


@pytest.mark.parametrize(
    ("name", "number", "row", "written"),
    [
        ("k722", 0, 0, "abseiling"),
        ("k722", 3, 3, "air drumming"),
        ("k400", 1, 3, "air drumming"),
        ("k400", 53, 94, "changing wheel"),
        ("k400", 73, 126, "cooking sausages"),
        ("k600", 309, 366, "passing american football (not in game)"),
    ],
)
def test_numbers_and_own_spellings(name, number, row, written):
    assert rows_of_k722(name)[number] == row
    assert kinetics_names(name)[number] == written


def test_sets_differ_in_three_spellings_only():
    union = kinetics_names("k722")
    other = [
        written
        for name in ("k400", "k600", "k700")
        for written, row in zip(kinetics_names(name), rows_of_k722(name), strict=True)
        if written != union[row]
    ]
    assert other == ["changing wheel", "cooking sausages", "passing american football (not in game)"]
    assert set().union(*map(rows_of_k722, ("k400", "k600", "k700"))) == set(range(722))


@pytest.mark.parametrize("name", ["k500", "number", ""])
def test_unknown_set(name):
    with pytest.raises(InputError, match="is not a set of Kinetics classes; choose k400, k600, k700 or k722"):
        kinetics_names(name)
