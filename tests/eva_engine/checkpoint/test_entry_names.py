import itertools
import re

import pytest

from eva_engine.checkpoint.load_report import shorten_names


def expand(line: str) -> list[str]:
    choices = []
    for text in re.split(r"(\{[^}]*\})", line):
        options = []
        for option in text.strip("{}").split(","):
            first, _, last = option.partition("-") if text.startswith("{") else (option, "", "")
            options += map(str, range(int(first), int(last) + 1)) if last else [option]
        choices.append(options)
    return ["".join(parts) for parts in itertools.product(*choices)]


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        ([], []),
        (["pos_embed"], ["pos_embed"]),
        ([f"blocks.{i}.norm.{leaf}" for i in range(40) for leaf in "wb"], ["blocks.{0-39}.norm.{w,b}"]),
        (["a.0", "a.1", "a.3", "a.x"], ["a.{0-1,3,x}"]),
        (["a", "a.b", "a.c"], ["a", "a.{b,c}"]),
        (["a.0.w", "a.1.w", "a.1.b"], ["a.0.w", "a.1.{w,b}"]),
    ],
)
def test_shortened(names, lines):
    assert shorten_names(names) == lines


def test_nothing_is_lost():
    names = [
        f"{a}.{i}.{b}" for a in ("net", "fpn_2") for i in range(9) for b in ("w", "b", "n.0", "n.1") if (i * len(b)) % 4
    ]
    expanded = [name for line in shorten_names(names) for name in expand(line)]
    assert sorted(expanded) == sorted(names)
