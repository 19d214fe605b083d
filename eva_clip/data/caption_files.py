"""Files of captions: tables, JSON and COCO's, as names of images with their captions."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

from eva_backbone.errors import InputError
from eva_engine.data.record_errors import RecordErrors

# Far above any caption; a quote that is never closed would take the rest of the file for one.
_MAX_CELL = 1 << 20
_FORMATS = {".csv": ",", ".tsv": "\t"}
Captions = dict[str, list[str]]


def read_captions(file: str | Path, image_key: str, caption_key: str, errors: RecordErrors) -> Captions:
    """Captions of each image, both in the order of the file. Empty captions are bad records.

    The name's ending says the format: .csv and .tsv with a header, .jsonl with an object a line, .json with a list of
    objects or with COCO's captions. An image may come several times, and an object may list several captions.

    Args:
        image_key: column or key of the image's name; of no effect for COCO's.
        caption_key: of the caption.
        errors: what happens to bad records.

    Raises:
        InputError: no such file, another format, no such column, no pair in it, or a bad record with `on_error` "stop".
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path}: no such caption file; check the path.")
    found: Captions = {}
    try:
        for record, image, captions in _records(path, image_key, caption_key):
            _add(found, record, image, captions, errors)
    except InputError:  # of a record or column
        raise
    except (ValueError, RecursionError, csv.Error, OSError) as error:
        raise InputError(
            f"{path} cannot be read as {path.suffix or 'a caption file'} ({error or 'nested too deeply'}); give a "
            ".csv, .tsv, .jsonl or .json file in UTF-8."
        ) from error
    errors.log_total()
    if not found:
        raise InputError(f"{path} has no image with a caption; give a file that has some.")
    return found


def _records(path: Path, image_key: str, caption_key: str) -> Iterator[tuple[str, Any, Any]]:
    """How to call the record, image, caption or captions; None for what is missing."""
    suffix = path.suffix.lower()
    if suffix in _FORMATS:
        yield from _table_rows(path, _FORMATS[suffix], image_key, caption_key)
    elif suffix == ".jsonl":
        with open(path, encoding="utf-8-sig") as lines:
            yield from _objects((json.loads(line) for line in lines if line.strip()), image_key, caption_key, "line")
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
        raise InputError(f"{path} is no caption file by its name; give a .csv, .tsv, .jsonl or .json file.")


def _table_rows(path: Path, delimiter: str, image_key: str, caption_key: str) -> Iterator[tuple[str, Any, Any]]:
    limit = csv.field_size_limit(_MAX_CELL)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter=delimiter)
            for key in (image_key, caption_key):
                if key not in (rows.fieldnames or ()):
                    raise InputError(
                        f"{path} has no column {key!r}, only {', '.join(map(repr, rows.fieldnames or ())) or 'none'}; "
                        "name the columns with image_key and caption_key."
                    )
            for row in rows:
                yield f"line {rows.line_num}", row[image_key], row[caption_key]
    finally:
        csv.field_size_limit(limit)


def _objects(objects: Iterable[Any], image_key: str, caption_key: str, what: str) -> Iterator[tuple[str, Any, Any]]:
    for number, record in enumerate(objects, start=1):
        known = record if isinstance(record, dict) else {}
        yield f"{what} {number}", known.get(image_key), known.get(caption_key)


def _coco(path: Path, content: dict) -> Iterator[tuple[str, Any, Any]]:
    images, annotations = content.get("images"), content.get("annotations")
    if not (_are_objects(images) and _are_objects(annotations)):
        raise InputError(f"{path} lacks the lists 'images' and 'annotations' of objects; give COCO's captions.")
    names = {str(image.get("id")): image.get("file_name") for image in images}
    for number, annotation in enumerate(annotations, start=1):
        yield f"annotation {number}", names.get(str(annotation.get("image_id"))), annotation.get("caption")


def _are_objects(part: Any) -> TypeGuard[list[dict]]:
    return isinstance(part, list) and all(isinstance(item, dict) for item in part)


def _add(found: Captions, record: str, image: Any, captions: Any, errors: RecordErrors) -> None:
    if not isinstance(image, str) or not image.strip():
        errors.add(record, "names no image", "name one")
        return
    if Path(image).is_absolute() or ".." in Path(image).parts or "\0" in image:
        errors.add(record, f"names the image {image!r} outside of the image folder", "give a path below it")
        return
    captions = captions if isinstance(captions, list) else [captions]
    usable = [caption for caption in captions if isinstance(caption, str) and caption.strip()]
    if len(usable) < len(captions) or not captions:
        errors.add(record, f"has an empty caption for {image}", "write one")
    if usable:
        found.setdefault(str(Path(image)), []).extend(usable)
