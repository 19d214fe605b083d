"""Read an annotation file in COCO format and its list of categories."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from eva_backbone.errors import InputError

_REQUIRED = ("images", "annotations", "categories")


def read_coco_file(json_file: str | Path, hint: str = "check the path", *, test_set: bool = False) -> dict:
    """Read a COCO-format file with the lists `images`, `annotations` and `categories`.

    Args:
        json_file: The annotation file.
        hint: How to fix a missing file, for the message.
        test_set: Also accept the file of a test set, which has no annotations.

    Raises:
        InputError: The file does not exist or is not JSON, or one of the three lists is missing.
    """
    path = Path(json_file)
    if not path.is_file():
        raise InputError(f"{path}: no such annotation file; {hint}.")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON ({error or 'nested too deeply'}); give a COCO-format annotation file."
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a JSON {type(content).__name__}, expected an object with {_quoted(_REQUIRED)}.")
    for key in _REQUIRED:
        if key not in content and test_set and key == "annotations":
            continue
        if key not in content:
            raise InputError(
                f"{path} has no {key!r}, expected {_quoted(_REQUIRED)}; give a COCO-format file of object instances."
            )
        if not isinstance(content[key], list) or not all(isinstance(record, dict) for record in content[key]):
            raise InputError(f"{path}: {key!r} is not a list of objects; give a COCO-format file of object instances.")
    return content


def parse_categories(content: dict, source: str) -> dict[int, str]:
    """Return {category id: class name} in ascending order of the ids.

    A name that occurs twice gets its id appended, so that all names are distinct.

    Args:
        content: Content of a COCO-format file.
        source: The file, for messages.

    Raises:
        InputError: There are no categories, an id is not an integer or is given twice, or a category has no name.
    """
    if not content["categories"]:
        raise InputError(f"{source}: 'categories' is empty; list every class with its id and name.")
    names: dict[int, str] = {}
    for index, category in enumerate(content["categories"]):
        category_id, name = category.get("id"), category.get("name")
        if not is_id(category_id):
            raise InputError(f"{source}: category number {index} has id {category_id!r}; give it an integer id.")
        if category_id in names:
            raise InputError(f"{source}: category id {category_id} is given twice; give every category its own id.")
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{source}: category {category_id} has no name; give it a name.")
        names[category_id] = name.strip()
    taken: set[str] = set()
    for category_id in sorted(names):
        if names[category_id] in taken:
            names[category_id] = f"{names[category_id]} (id {category_id})"
        taken.add(names[category_id])
    return {category_id: names[category_id] for category_id in sorted(names)}


def check_known_categories(found: Mapping[int, str], expected: Mapping[int, str], source: str, dataset: str) -> None:
    """Check that a file belongs to a published dataset: its ids must be known and most of its names must agree.

    Letter case and punctuation are ignored and a minority of different names is accepted, because some spellings were
    corrected over the years. Another dataset, or a version that numbers the same classes differently, agrees on almost
    no name.

    Args:
        found: {category id: class name} of the file.
        expected: {category id: class name} of the published dataset.
        source: The file, for messages.
        dataset: Name of the published dataset, for messages.

    Raises:
        InputError: An id is unknown, or fewer than half of the names agree.
    """
    for category_id in found:
        if category_id not in expected:
            raise InputError(
                f"{source}: category id {category_id} is not one of the {len(expected)} ids of {dataset}; "
                f"give the annotation file of {dataset}."
            )
    agree = sum(_normalize(name) == _normalize(expected[category_id]) for category_id, name in found.items())
    if agree < len(found) / 2:
        raise InputError(
            f"{source}: only {agree} of {len(found)} class names are those of {dataset}; "
            f"give the annotation file of {dataset}."
        )


def is_id(value: object) -> TypeGuard[int]:
    """Return whether `value` can be an id: an integer of at most 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_side(value: object) -> TypeGuard[int]:
    """Return whether `value` can be the width or height of an image in pixels."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _normalize(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names[:-1]) + f" and {names[-1]!r}"
