"""Names and dataset ids of a model's classes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.text_file import read_lines


@dataclass(frozen=True)
class Categories:
    """Name and dataset id of each class index; both tuples have one entry per class of the model."""

    names: tuple[str, ...]
    ids: tuple[int, ...]


def read_categories(path: str | Path) -> Categories:
    """Read class names from a file.

    Args:
        path: Text file with one name per line (the ids are then 0, 1, ...), JSON file with a list of names, or any JSON
            object with COCO's ``categories`` ([{"id": 7, "name": "cell"}, ...], class indices in the order of the ids).

    Raises:
        InputError: The file does not exist, or has none of these formats.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".json":
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        else:
            content = read_lines(path, "list of names", "give one name per line")
        if isinstance(content, dict):
            rows = sorted(content["categories"], key=lambda row: row["id"])
            return Categories(tuple(str(row["name"]) for row in rows), tuple(int(row["id"]) for row in rows))
        if not isinstance(content, list) or not content or not all(isinstance(name, str) for name in content):
            raise ValueError("it has no list of names")
        return Categories(tuple(name.strip() for name in content), tuple(range(len(content))))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path}: no class names could be read ({type(error).__name__}: {error}); "
            "give one name per line, a JSON list, or a JSON object with COCO's categories."
        ) from error


def match_names(names: Sequence[str] | None, num_classes: int, source: str) -> tuple[str, ...]:
    """Check that there is one name for each class of a model.

    Args:
        names: Class names; None for ``class 0``, ``class 1``, ...
        num_classes: Number of classes of the model.
        source: File or option that the names are from, for the message.

    Raises:
        InputError: The number of names is not `num_classes`.
    """
    if names is None:
        return tuple(f"class {i}" for i in range(num_classes))
    if len(names) != num_classes:
        raise InputError(
            f"{source} has {len(names)} class names, but the model has {num_classes} classes; "
            "use the config.yaml in the output folder of the training, or give the right names with --class-names."
        )
    return tuple(names)
