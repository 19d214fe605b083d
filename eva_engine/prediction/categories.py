"""Names and dataset ids of a model's classes."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.text_file import read_json, read_lines


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
    fix = "give one name per line, a JSON list, or a JSON object with COCO's categories"
    if path.suffix.lower() == ".json":
        content = read_json(path, "file with class names", fix)
    else:
        content = read_lines(path, "file with class names", fix)
    if isinstance(content, dict):
        return coco_categories(content.get("categories"), str(path))
    names = check_names(content, str(path))
    return Categories(names, tuple(range(len(names))))


def check_names(names: Any, source: str) -> tuple[str, ...]:
    """Return the class names of a list without spaces around them; whole numbers, as folders often have, become text.

    Args:
        names: A list of an option or file.
        source: The option or file, for messages.

    Raises:
        InputError: It is not a list, is empty, or has anything else.
    """
    if isinstance(names, Sequence) and not names:
        raise InputError(f"{source} is empty; give one name per class.")
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InputError(f"{source}: {reprlib.repr(names)} is not a list of class names; give one name per class.")
    for number, name in enumerate(names):
        if not isinstance(name, str | int) or isinstance(name, bool) or not str(name).strip():
            raise InputError(
                f"{source}: the name of class {number} is {reprlib.repr(name)}; give every class a name, in quotes."
            )
    return tuple(str(name).strip() for name in names)


def check_class_map(classes: Any, source: str) -> dict[str, int]:
    """Return the class index of each name in a mapping, or by its position in a list; see `check_names`.

    Raises:
        InputError: A name is not valid or occurs twice, or an index is not a whole number from 0 on.
    """
    indices: dict[str, int] = {}
    if isinstance(classes, Mapping):
        names = check_names(list(classes), source)
        given: Iterable[Any] = classes.values()
    else:
        names = check_names(classes, source)
        given = range(len(names))
    for name, index in zip(names, given, strict=True):
        if name in indices:
            raise InputError(f"{source} lists {name[:200]} more than once; list every class once.")
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise InputError(
                f"{source}: the index of {name[:200]} is {reprlib.repr(index)}; give a whole number from 0 on."
            )
        indices[name] = index
    return indices


def coco_categories(rows: Any, source: str) -> Categories:
    """Return COCO's categories, [{"id": 7, "name": "cell"}, ...], in the order of their ids.

    Raises:
        InputError: `rows`, which are from the file `source`, are anything else.
    """
    try:
        by_id = {int(row["id"]): row["name"] for row in rows}
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{source}: the categories cannot be read ({reason}); give each an id and a name.") from error
    names = tuple(str(by_id[number]) for number in sorted(by_id))
    if not names or len(names) < len(rows) or not all(isinstance(name, str | int | float) for name in by_id.values()):
        raise InputError(f"{source}: the categories must have names, and ids that differ; give each an id and a name.")
    return Categories(names, tuple(sorted(by_id)))


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
