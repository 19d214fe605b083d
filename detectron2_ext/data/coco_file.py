"""Read an annotation file in COCO format and its list of categories."""

import logging
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.image_checks import MAX_PIXELS
from eva_engine.text_file import read_json

logger = logging.getLogger(__name__)

FIX = "give a COCO-format annotation file"
_REQUIRED = ("images", "annotations", "categories")
_MAX_ASPECT_RATIO = 10_000  # the shorter side would shrink to nothing, but only after minutes of decoding
_INTEGERS = {
    "images": ("id", "width", "height"),
    "annotations": ("id", "image_id", "category_id"),
    "categories": ("id",),
}


def read_coco_file(json_file: str | Path, hint: str = "check the path", *, test_set: bool = False) -> dict:
    """Read a COCO-format file with the lists `images`, `annotations` and `categories`.

    Other spellings of the same values are replaced: 1.0 by 1 in ids and sides, the list of numbers of a single polygon
    by a list of this polygon, and empty masks by no mask. A negative area is removed, since it is computed where it is
    missing.

    Args:
        json_file: The annotation file.
        hint: How to fix a missing file, for the message.
        test_set: Also accept the file of a test set, which has no annotations.

    Raises:
        InputError: The file does not exist or is not JSON, or one of the three lists is missing.
    """
    path = Path(json_file)
    check_exists(path, hint)
    content = read_json(path, "annotation file", FIX)
    if not isinstance(content, dict):
        raise not_an_object(path, content)
    for key in _REQUIRED:
        if key not in content and test_set and key == "annotations":
            continue
        if key not in content:
            raise missing_list(path, key)
        if not isinstance(content[key], list) or not all(isinstance(record, dict) for record in content[key]):
            raise not_a_list(path, key)
    num_negative = 0
    for kind in _INTEGERS:
        for record in content.get(kind, ()):
            num_negative += unify_record(kind, record)
    report_negative_areas(str(path), num_negative, len(content.get("annotations", ())))
    return content


def check_exists(path: Path, hint: str) -> None:
    """Raise InputError, with a hint how to fix it, if there is no annotation file at `path`."""
    if not path.is_file() and not path.exists():
        raise InputError(f"{path}: no such annotation file; {hint}.")


def not_an_object(path: Path, content: object) -> InputError:
    """Return the error of a file that holds another JSON value than an object."""
    return InputError(f"{path} holds a JSON {type(content).__name__}, expected an object with {_quoted(_REQUIRED)}.")


def missing_list(path: Path, key: str) -> InputError:
    """Return the error of a file without the list `key`."""
    return InputError(
        f"{path} has no {key!r}, expected {_quoted(_REQUIRED)}; give a COCO-format file of object instances."
    )


def not_a_list(path: Path, key: str) -> InputError:
    """Return the error of a file whose value `key` is not a list of objects."""
    return InputError(f"{path}: {key!r} is not a list of objects; give a COCO-format file of object instances.")


def unify_record(kind: str, record: dict) -> bool:
    """Replace other spellings of the same values in place, and return whether the record had a negative area.

    Args:
        kind: The list that the record is from: "images", "annotations" or "categories".
        record: A record of this list.
    """
    for key in _INTEGERS[kind]:
        value = record.get(key)
        if isinstance(value, float) and value.is_integer():
            record[key] = int(value)
    if kind != "annotations":
        return False
    mask = record.get("segmentation")
    if isinstance(mask, list):
        if mask and all(isinstance(value, int | float) for value in mask):
            mask = [mask]
        record["segmentation"] = mask = [polygon for polygon in mask if polygon != []]
    if mask in (None, [], {}):
        record.pop("segmentation", None)
    area = record.get("area")
    if isinstance(area, int | float) and area < 0:
        del record["area"]
        return True
    return False


def report_negative_areas(source: str, num_negative: int, total: int) -> None:
    """Log that annotations have a negative area, once for each file."""
    if num_negative:
        warn_once(
            f"{source}: {num_negative} of {total} annotations have a negative area; "
            "it is computed from the mask, or from the box if there is no mask."
        )


@cache
def warn_once(message: str) -> None:
    """Log a warning, but not again when the same file is read for another purpose."""
    logger.warning(message)


def parse_categories(categories: Sequence[dict], source: str) -> dict[int, str]:
    """Return {category id: class name} in ascending order of the ids.

    A name that occurs twice gets its id appended, so that all names are distinct.

    Args:
        categories: The list `categories` of a COCO-format file.
        source: The file, for messages.

    Raises:
        InputError: There are no categories, an id is not an integer or is given twice, or a category has no name.
    """
    if not categories:
        raise InputError(f"{source}: 'categories' is empty; list every class with its id and name.")
    names: dict[int, str] = {}
    for index, category in enumerate(categories):
        category_id, name = category.get("id"), category.get("name")
        if not is_id(category_id):
            raise InputError(
                f"{source}: category number {index} has id {reprlib.repr(category_id)}; give it an integer id."
            )
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


def with_ids(
    records: Iterable[dict], kind: str, is_valid: Callable[[Any], bool], errors: RecordErrors
) -> Iterator[tuple[Any, dict]]:
    """Yield the id of each record and the record, without those whose id is not valid or occurs earlier.

    Args:
        records: The records of a list of the file.
        kind: Noun for a record in messages, such as "annotation".
        is_valid: Whether a value can be an id.
        errors: Collects or raises the errors of bad records.
    """
    seen = set()
    for index, record in enumerate(records):
        record_id = record.get("id")
        if not is_valid(record_id):
            errors.add(f"{kind} number {index}", f"has id {reprlib.repr(record_id)}", "give it an integer id")
        elif record_id in seen:
            errors.add(f"{kind} {reprlib.repr(record_id)}", "is listed twice", f"give every {kind} its own id")
        else:
            seen.add(record_id)
            yield record_id, record


def is_id(value: object) -> TypeGuard[int]:
    """Return whether `value` can be an id: an integer of at most 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_side(value: object) -> TypeGuard[int]:
    """Return whether `value` can be the width or height of an image in pixels."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def size_problem(width: object, height: object) -> str | None:
    """Return what is wrong with the size of an image in pixels, or None; images that cannot be read are too large."""
    if not (is_side(width) and is_side(height)):
        return f"has size {reprlib.repr(width)}x{reprlib.repr(height)}; give 'width' and 'height' in pixels"
    if width * height > MAX_PIXELS:
        return f"has {width}x{height} pixels, the limit is {MAX_PIXELS:,}; tile it"
    if max(width, height) > _MAX_ASPECT_RATIO * min(width, height):
        return f"has {width}x{height} pixels, and one side is more than {_MAX_ASPECT_RATIO} times the other; tile it"
    return None


def _normalize(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names[:-1]) + f" and {names[-1]!r}"
