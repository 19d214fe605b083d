"""What the model's class indices mean: names, and the ids of the data set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eva_backbone.errors import InputError


@dataclass(frozen=True)
class Categories:
    """Name and data set id of each class index; both tuples have the length of the model's classification."""

    names: tuple[str, ...]
    ids: tuple[int, ...]


def read_categories(path: str | Path) -> Categories:
    """Read class names from a file.

    Args:
        path: text with one name a line (ids are then 0, 1, ...), a JSON list of names, or any JSON object with COCO's
            ``categories`` ([{"id": 7, "name": "cell"}, ...], class indices in the order of the ids).

    Raises:
        InputError: missing file or none of these.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix.lower() == ".json" else [n for n in text.splitlines() if n.strip()]
        if isinstance(content, dict):
            rows = sorted(content["categories"], key=lambda row: row["id"])
            return Categories(tuple(str(row["name"]) for row in rows), tuple(int(row["id"]) for row in rows))
        if not isinstance(content, list) or not content or not all(isinstance(name, str) for name in content):
            raise ValueError("no list of names in it")
        return Categories(tuple(name.strip() for name in content), tuple(range(len(content))))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path}: no class names could be read ({type(error).__name__}: {error}): "
            "give one name a line, a JSON list, or a JSON object with COCO's categories."
        ) from error


def match_names(names: Sequence[str] | None, num_classes: int, source: str) -> tuple[str, ...]:
    """Hold ``names``, found in ``source``, to the model; without any, classes are ``class 0``, ``class 1``, ...

    Raises:
        InputError: their number differs from the model's.
    """
    if names is None:
        return tuple(f"class {i}" for i in range(num_classes))
    if len(names) != num_classes:
        raise InputError(
            f"{source} names {len(names)} classes, the model has {num_classes}: "
            "give the config.yaml that the training left beside the weights, or the right names by --class-names."
        )
    return tuple(names)
