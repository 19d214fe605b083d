"""Readers of caption files: tables, JSON lines, JSON lists and COCO captions."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors

# Far above the length of any caption. Without a limit, a quote that is never closed would make the rest of the file one
# cell.
_MAX_CELL = 1 << 20
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
Captions = dict[str, list[str]]


def read_captions(file: str | Path, image_key: str, caption_key: str, errors: RecordErrors) -> Captions:
    """Read the captions of each image; an empty caption is a bad record.

    The suffix of the file name determines the format: .csv and .tsv have a header, .jsonl has one object per line, and
    .json is a list of objects or a file of COCO captions. An image may occur several times, and an object may have a
    list of captions.

    Args:
        file: Caption file.
        image_key: Column or key of the image name; not used for COCO captions.
        caption_key: Column or key of the caption; not used for COCO captions.
        errors: Collects bad records.

    Returns:
        Image names with their captions, both in the order of the file.

    Raises:
        InputError: The file does not exist or has another format, a column is missing, there is no usable record, or
            there is a bad record and `errors` stops at it.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path}: no such caption file; check the path.")
    captions: Captions = {}
    try:
        for record, image, texts in _records(path, image_key, caption_key):
            _add(captions, record, image, texts, errors)
    except InputError:  # of a record or a column
        raise
    except (ValueError, RecursionError, csv.Error, OSError) as error:
        raise InputError(
            f"{path} cannot be read as {path.suffix or 'a caption file'} ({error or 'nested too deeply'}); give a "
            ".csv, .tsv, .jsonl or .json file in UTF-8."
        ) from error
    errors.log_total()
    if not captions:
        raise InputError(f"{path} has no image with a caption; give a file that has some.")
    return captions


def _records(path: Path, image_key: str, caption_key: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each record for messages, its image, and its caption or list of captions; None if missing."""
    suffix = path.suffix.lower()
    if suffix in _DELIMITERS:
        yield from _table_rows(path, _DELIMITERS[suffix], image_key, caption_key)
    elif suffix == ".jsonl":
        with open(path, encoding="utf-8-sig") as lines:
            objects = (json.loads(line) for line in lines if line.strip())
            yield from _objects(objects, image_key, caption_key, "line")
    elif suffix == ".json":
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            yield from _coco(path, content)
        elif isinstance(content, list):
            yield from _objects(content, image_key, caption_key, "record")
        else:
            raise InputError(
                f"{path} holds a JSON {type(content).__name__}; give a list of objects or COCO's captions."
            )
    else:
        raise InputError(f"{path} does not have the suffix of a caption file; give a .csv, .tsv, .jsonl or .json file.")


def _table_rows(path: Path, delimiter: str, image_key: str, caption_key: str) -> Iterator[tuple[str, Any, Any]]:
    previous_limit = csv.field_size_limit(_MAX_CELL)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter=delimiter)
            columns = rows.fieldnames or ()
            for key in (image_key, caption_key):
                if key not in columns:
                    present = ", ".join(repr(column) for column in columns) or "none"
                    raise InputError(
                        f"{path} has no column {key!r}, only {present}; name the columns with image_key and "
                        "caption_key."
                    )
            for row in rows:
                yield f"line {rows.line_num}", row[image_key], row[caption_key]
    finally:
        csv.field_size_limit(previous_limit)


def _objects(objects: Iterable[Any], image_key: str, caption_key: str, kind: str) -> Iterator[tuple[str, Any, Any]]:
    for number, record in enumerate(objects, start=1):
        if isinstance(record, dict):
            yield f"{kind} {number}", record.get(image_key), record.get(caption_key)
        else:
            yield f"{kind} {number}", None, None


def _coco(path: Path, content: dict) -> Iterator[tuple[str, Any, Any]]:
    images, annotations = content.get("images"), content.get("annotations")
    if not (_are_objects(images) and _are_objects(annotations)):
        raise InputError(f"{path} lacks the lists 'images' and 'annotations' of objects; give COCO's captions.")
    names = {str(image.get("id")): image.get("file_name") for image in images}
    for number, annotation in enumerate(annotations, start=1):
        yield f"annotation {number}", names.get(str(annotation.get("image_id"))), annotation.get("caption")


def _are_objects(value: Any) -> TypeGuard[list[dict]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _add(found: Captions, record: str, image: Any, texts: Any, errors: RecordErrors) -> None:
    """Add the usable captions of a record; report the record if its image or a caption is unusable."""
    if not isinstance(image, str) or not image.strip():
        errors.add(record, "has no image name", "add one")
        return
    if Path(image).is_absolute() or ".." in Path(image).parts or "\0" in image:
        errors.add(record, f"names the image {image!r} outside of the image folder", "give a path below it")
        return
    texts = texts if isinstance(texts, list) else [texts]
    usable = [text for text in texts if isinstance(text, str) and text.strip()]
    if len(usable) < len(texts) or not texts:
        errors.add(record, f"has an empty caption for {image}", "write one")
    if usable:
        # Different spellings of a path, such as a.png and ./a.png, are the same image.
        found.setdefault(str(Path(image)), []).extend(usable)
