"""Hugging Face data sets with COCO-like columns: parquet and Arrow files, or images with a metadata.jsonl."""

import json
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_write
from eva_engine.data.image_size import read_size
from eva_engine.data.split_names import split_of
from eva_engine.text_file import open_text, parse_json

from ..data_files import DataFiles
from ..findings import Findings
from ..imported_data import DatasetBuilder, ImportedData, ImportOptions

NAME = "Hugging Face"
_BATCH = 32
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp", b"II*\0": ".tif", b"MM\0*": ".tif"}
_CLASS_KEYS = ("category", "categories", "label", "labels", "category_id", "class")
_INSTALL = 'reading it needs pyarrow: pip install "eva-vision[parquet]"'


def recognise(files: DataFiles) -> str | None:
    """Return what shows that the data has this format, or None."""
    paths = _tables(files)
    return f"{', '.join(paths[:3])} with images and objects" if paths else None


def read(files: DataFiles, options: ImportOptions) -> ImportedData:
    """Read the rows; embedded images are written to `options.extracted`."""
    findings = Findings()
    builder = DatasetBuilder(findings, options.renamed)
    names: list[str] | None = None
    image_root = files.image_root
    counts: dict[str, int] = {}
    for table, part in _parts(_tables(files)).items():
        rows, table_names = _open(files.root / table)
        names = names or table_names
        for row in rows:
            number = counts[part] = counts.get(part, 0) + 1
            content = _embedded(row)
            if content is not None:
                path, image_root = _extract(content, part, number, options, files), options.extracted or image_root
            else:
                image = row.get("image")
                if isinstance(image, dict):
                    image = image.get("path")
                name = row.get("file_name") or image
                if not isinstance(name, str):
                    findings.refuse(f"{table}, row {number}", "it has neither an image nor a file name")
                    continue
                found = files.find_image(name, posixpath.dirname(table), name, findings)
                if found is None:
                    continue
                path = found
            try:
                width, height = read_size(image_root / path)
            except InputError as error:
                findings.refuse(path, error)
                continue
            entry = builder.add_image(part, path, width, height, path)
            if entry is not None:
                for name, box, crowd in _objects(row.get("objects"), names):
                    x, y, w, h = box
                    builder.add_box(entry, name, (x, y, x + w, y + h), crowd)
    class_names = options.class_names or None
    if class_names is None and names is not None:
        class_names = dict(enumerate(names))
    parts = builder.finish(class_names)
    return ImportedData(NAME, files.source, image_root, parts, findings, class_names is not None)


def _tables(files: DataFiles) -> list[str]:
    paths = files.with_suffix(".parquet", ".arrow")
    for path in files.with_suffix("metadata.jsonl"):
        if b'"objects"' in files.head(path):
            paths.append(path)
    return paths


def _parts(tables: list[str]) -> dict[str, str]:
    """Return the part of each file: "train-00000-of-00001.parquet", or its folder."""
    parts = {}
    for path in tables:
        words = [*path.split("/")[:-1], posixpath.basename(path).split("-")[0].split(".")[0]]
        parts[path] = next((part for part in map(split_of, words) if part in ("train", "val", "test")), None)
    if "train" in parts.values():
        return {path: part for path, part in parts.items() if part is not None}
    return dict.fromkeys(tables, "all")


def _open(path: Path) -> tuple[Iterator[dict[str, Any]], list[str] | None]:
    """Return the rows of a file, and the names of its classes if it has them."""
    if path.suffix == ".jsonl":
        return _json_rows(path), None
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f"{path}: {_INSTALL}.") from error
    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.ParquetFile(path)
            schema, batches = table.schema_arrow, table.iter_batches(_BATCH)
        else:
            reader = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path)))
            schema, batches = reader.schema, iter(reader)
        if "objects" not in schema.names:
            raise InputError(
                f"{path} has no column objects, but {', '.join(schema.names)}; give a data set with boxes."
            )
        return _arrow_rows(path, batches), _class_names(schema.metadata or {})
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}); download it again.") from error


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    fix = "give one JSON object per line"
    with open_text(path, "metadata file", fix) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row = parse_json(line, f"{path}, line {number}", fix)
                if not isinstance(row, dict):
                    raise InputError(f"{path}, line {number}: not a JSON object; {fix}.")
                yield row


def _arrow_rows(path: Path, batches: Iterator[Any]) -> Iterator[dict[str, Any]]:
    import pyarrow

    try:
        for batch in batches:
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}); download it again.") from error


def _class_names(metadata: dict[bytes, bytes]) -> list[str] | None:
    """Return the names of a ClassLabel in the features that `datasets` stores with a table."""
    try:
        node = json.loads(metadata[b"huggingface"])["info"]["features"]["objects"]
    except (KeyError, ValueError, TypeError):
        return None
    queue = [node]
    while queue:
        node = queue.pop()
        if isinstance(node, dict):
            names = node.get("names")
            if node.get("_type") == "ClassLabel" and isinstance(names, list):
                return [str(name) for name in names]
            queue += node.values()
        elif isinstance(node, list):
            queue += node
    return None


def _embedded(row: dict[str, Any]) -> bytes | None:
    image = row.get("image")
    content = image.get("bytes") if isinstance(image, dict) else image
    return content if isinstance(content, bytes) else None


def _extract(content: bytes, part: str, number: int, options: ImportOptions, files: DataFiles) -> str:
    """Write an embedded image and return its name."""
    if options.extracted is None:
        raise InputError(f"{files.source} has its images embedded; convert it with import-data, which writes them.")
    suffix = next((suffix for start, suffix in _SUFFIXES.items() if content.startswith(start)), ".img")
    name = f"{part}_{number:07d}{suffix}"
    with atomic_write(options.extracted / name) as file:
        file.write(content)
    return name


def _objects(objects: Any, names: list[str] | None) -> Iterator[tuple[object, list[float], bool]]:
    """Yield the class, the box [x, y, width, height] and whether it is a crowd, of each object of a row."""
    if isinstance(objects, dict):  # one list for each key
        length = max((len(column) for column in objects.values() if isinstance(column, list)), default=0)
        records: list[dict[str, Any]] = [{} for _ in range(length)]
        for key, column in objects.items():
            if isinstance(column, list) and len(column) == length:
                for record, value in zip(records, column, strict=True):
                    record[key] = value
        objects = records
    for record in objects if isinstance(objects, list) else ():
        if not isinstance(record, dict):
            continue
        label = next((record[key] for key in _CLASS_KEYS if record.get(key) is not None), None)
        if isinstance(label, int) and names is not None:
            label = names[label] if 0 <= label < len(names) else f"class {label}"
        box: Any = record.get("bbox")
        try:
            x, y, w, h = map(float, box)
        except (TypeError, ValueError):
            x = y = w = h = float("nan")
        yield label, [x, y, w, h], bool(record.get("iscrowd"))
