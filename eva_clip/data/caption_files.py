"""Readers of caption files: tables, JSON lines, JSON lists, COCO captions and Karpathy's splits."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.table_file import find_column, read_rows
from eva_engine.text_file import open_text, parse_json, read_json

logger = logging.getLogger(__name__)

_FIX_FILE = "give a .csv, .tsv, .jsonl or .json file in UTF-8"
Captions = dict[str, list[str]]
# Name of a record for messages, its image, and its caption or list of captions; None if missing.
_Record = tuple[str, Any, Any]


def read_captions(
    file: str | Path, image_key: str, caption_key: str, errors: RecordErrors, split: str | None = None
) -> Captions:
    """Read the captions of each image; an empty caption is a bad record.

    The suffix of the file name determines the format: .csv and .tsv have a header (see `read_rows` for quotes), .jsonl
    has one object per line, and .json is a list of objects, a file of COCO captions or of Karpathy's splits. An image
    may occur several times, and an object may have a list of captions.

    Args:
        file: Caption file.
        image_key: Column or key of the image name; not used for COCO captions and Karpathy's splits.
        caption_key: Column or key of the caption; not used for COCO captions and Karpathy's splits.
        errors: Collects bad records.
        split: Name of one of Karpathy's splits; None reads no such file.

    Returns:
        Image names with their captions, both in the order of the file.

    Raises:
        InputError: The file does not exist or has another format, a column is missing, there is no usable record, or
            there is a bad record and `errors` stops at it.
    """
    path = Path(file)
    captions: Captions = {}
    for record, image, texts in _records(path, image_key, caption_key, errors, split):
        _add(captions, record, image, texts, errors)
    errors.log_total()
    if not captions:
        raise InputError(f"{path} has no image with a caption; give a file that has some.")
    return captions


def _records(
    path: Path, image_key: str, caption_key: str, errors: RecordErrors, split: str | None
) -> Iterator[_Record]:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from _table_rows(path, image_key, caption_key, errors)
    elif suffix == ".jsonl":
        yield from _objects(_json_lines(path, errors), image_key, caption_key)
    elif suffix == ".json":
        content = read_json(path, "caption file", _FIX_FILE)
        if isinstance(content, list):
            records = ((f"record {number}", record) for number, record in enumerate(content, start=1))
            yield from _objects(records, image_key, caption_key)
        elif not isinstance(content, dict):
            raise InputError(
                f"{path} holds a JSON {type(content).__name__}; give a list of objects or COCO's captions."
            )
        elif split is not None and _are_objects(content.get("images")) and "annotations" not in content:
            yield from _karpathy(path, content["images"], split, errors)
        else:
            yield from _coco(path, content, errors)
    else:
        raise InputError(f"{path} does not have the suffix of a caption file; {_FIX_FILE}.")


def _table_rows(path: Path, image_key: str, caption_key: str, errors: RecordErrors) -> Iterator[_Record]:
    rows = read_rows(path, "caption file", errors)
    _, columns = next(rows, ("", []))
    numbers = []
    for key in (image_key, caption_key):
        number = find_column(columns, key, path)
        if number is None:
            present = ", ".join(repr(column) for column in columns) or "none"
            raise InputError(
                f"{path} has no column {key!r}, only {present}; name the columns with image_key and caption_key."
            )
        numbers.append(number)
    for record, cells in rows:
        yield record, cells[numbers[0]], cells[numbers[1]]


def _json_lines(path: Path, errors: RecordErrors) -> Iterator[tuple[str, Any]]:
    with open_text(path, "caption file", _FIX_FILE) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = parse_json(line, str(path), _FIX_FILE)
            except InputError:
                errors.add(f"line {number}", "is not valid JSON", "write one object per line")
                continue
            yield f"line {number}", record


def _objects(records: Iterable[tuple[str, Any]], image_key: str, caption_key: str) -> Iterator[_Record]:
    for name, record in records:
        if isinstance(record, dict):
            yield name, record.get(image_key), record.get(caption_key)
        else:
            yield name, None, None


def _coco(path: Path, content: dict, errors: RecordErrors) -> Iterator[_Record]:
    images, annotations = content.get("images"), content.get("annotations")
    if not (_are_objects(images) and _are_objects(annotations)):
        raise InputError(f"{path} lacks the lists 'images' and 'annotations' of objects; give COCO's captions.")
    names: dict[str, Any] = {}
    for image in images:
        key, name = str(image.get("id")), image.get("file_name")
        if names.setdefault(key, name) != name:
            errors.add(f"image {name!r}", f"has the id {key} of {names[key]!r}", "give each image an id of its own")
    without_captions = dict(names)
    for number, annotation in enumerate(annotations, start=1):
        key = str(annotation.get("image_id"))
        without_captions.pop(key, None)
        if key in names:
            yield f"annotation {number}", names[key], annotation.get("caption")
        else:
            errors.add(f"annotation {number}", f"has the image_id {key} of no image", "add the image")
    _log_images_without_captions(path, list(without_captions.values()))


def _karpathy(path: Path, images: list[dict], split: str, errors: RecordErrors) -> Iterator[_Record]:
    splits = sorted({str(image["split"]) for image in images if "split" in image})
    if splits and split not in splits:
        raise InputError(f"{path} has no image in its split {split!r}; its splits are {', '.join(splits)}.")
    seen: set[str] = set()
    without_captions: list[str] = []
    for number, image in enumerate(images, start=1):
        folder, name, sentences = image.get("filepath", ""), image.get("filename"), image.get("sentences")
        if image.get("split") not in (None, split):
            continue
        if not (isinstance(folder, str) and isinstance(name, str) and _are_objects(sentences) and "split" in image):
            errors.add(f"image {number}", "lacks its filename, sentences or split", "give the file as it was published")
            continue
        image_path = str(Path(folder, name))
        if image_path in seen:
            errors.add(f"image {number}", f"names {image_path} again", "remove one of the two")
            continue
        seen.add(image_path)
        if sentences:
            yield f"image {number}", image_path, [sentence.get("raw") for sentence in sentences]
        else:
            without_captions.append(image_path)
    _log_images_without_captions(path, without_captions)


def _log_images_without_captions(path: Path, names: list[str]) -> None:
    if names:
        examples = ", ".join(str(name) for name in names[:3])
        logger.warning("%s: %d image(s) have no caption and are not used, such as %s.", path, len(names), examples)


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
