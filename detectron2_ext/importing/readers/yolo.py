"""YOLO: a text file for each image, with a line of a class number and fractions of the image size for each object."""

import math
import posixpath
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.split_names import split_of
from eva_engine.prediction.categories import check_names
from eva_engine.text_file import read_lines, read_text

from ..data_files import DataFiles
from ..findings import Findings
from ..image_sizes import read_sizes
from ..imported_data import DatasetBuilder, ImageEntry, ImportedData, ImportOptions
from ..untrusted_files import read_plain_yaml

NAME = "YOLO"
_NAME_FILES = ("classes.txt", "obj.names")
_MAX_LABEL_BYTES = 2**26
_SAMPLE = 20
_FIX_LABELS = "give the labels as text, one line for each object"


def recognise(files: DataFiles) -> str | None:
    """Return what shows that the data has this format, or None."""
    config = _find_config(files)
    if config is not None:
        return f"{config} with class names"
    names = _find_names(files)
    labels = [path for path in files.with_suffix(".txt") if posixpath.basename(path) not in _NAME_FILES]
    if names is not None and labels:
        return f"{names} and {len(labels):,} text files"
    for path in labels[:_SAMPLE]:
        first = files.head(path).split(b"\n")[0].split()
        if len(first) >= 5 and first[0].isdigit() and _is_fraction(first[1]) and "label" in path.lower():
            return f"{len(labels):,} text files of numbers"
    return None


def read(files: DataFiles, options: ImportOptions) -> ImportedData:
    """Read the images of the data.yaml, or those with a label file."""
    findings = Findings()
    config_path = _find_config(files)
    config = {} if config_path is None else read_plain_yaml(files.root / config_path)
    names = _class_names(files, config, options)
    parts = _images_by_part(files, config, config_path or "", findings)
    paths = list(chain.from_iterable(parts.values()))
    labels = _label_files(files, paths)
    unlabelled = [path for path in paths if path not in labels]
    if len(unlabelled) == len(paths):
        raise InputError(
            f"{files.source} has {len(paths)} images but no label file for any of them; the labels of images/a.jpg are "
            "labels/a.txt or images/a.txt."
        )
    for path in unlabelled:
        findings.count("no_labels", path)
    sizes = read_sizes(files.image_root, paths, findings)
    builder = DatasetBuilder(findings, options.renamed)
    for part, part_paths in parts.items():
        for path in part_paths:
            if path not in sizes:
                continue
            image = builder.add_image(part, path, *sizes[path], source=labels.get(path, path))
            if image is not None and path in labels:
                try:
                    _read_labels(files.root / labels[path], image, names, builder, has_keypoints="kpt_shape" in config)
                except InputError as error:
                    findings.refuse(labels[path], error)
    content = builder.finish(names)
    return ImportedData(NAME, files.source, files.image_root, content, findings, is_class_list_given=True)


def _find_config(files: DataFiles) -> str | None:
    """Return the YAML file with the class names that is nearest to the root."""
    paths = sorted(files.with_suffix(".yaml", ".yml"), key=lambda path: path.count("/"))
    for path in paths:
        lines = files.head(path).splitlines()
        if any(line.startswith((b"names:", b'"names"', b"'names'", b'{"names"')) for line in lines):
            return path
    return None


def _find_names(files: DataFiles) -> str | None:
    paths = [path for path in files.with_suffix(".txt", ".names") if posixpath.basename(path) in _NAME_FILES]
    return min(paths, key=lambda path: path.count("/"), default=None)


def _class_names(files: DataFiles, config: dict, options: ImportOptions) -> dict[int, str]:
    """Return the class name of each number."""
    if options.class_names is not None:
        return dict(enumerate(options.class_names.values()))
    listed = config.get("names")
    if isinstance(listed, dict):
        try:
            listed = {int(number): name for number, name in listed.items()}
            names = check_names(list(listed.values()), f"names of {files.source}")
            by_number = dict(zip(listed, names, strict=True))
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{files.source}: the names of the classes are not numbered; number them from 0."
            ) from error
        if sorted(by_number) != list(range(len(by_number))):
            raise InputError(f"{files.source}: the classes are not numbered 0, 1, 2, ...; number them in this way.")
        return dict(sorted(by_number.items()))
    if listed is not None:
        return dict(enumerate(check_names(listed, f"names of {files.source}")))
    path = _find_names(files)
    if path is not None:
        return dict(enumerate(line.strip() for line in read_lines(files.root / path, "list of classes", _FIX_LABELS)))
    raise InputError(
        f"{files.source} has YOLO labels but no names of the classes; add a data.yaml with names, or a classes.txt "
        "with one name per line."
    )


def _images_by_part(files: DataFiles, config: dict, config_path: str, findings: Findings) -> dict[str, list[str]]:
    """Return the images of each part: as data.yaml says, else by the names of folders."""
    parts: dict[str, list[str]] = {}
    root = str(config.get("path") or "")
    named = {split_of(key): given for key, given in config.items() if isinstance(key, str)}
    for part in ("train", "val", "test"):
        given = config.get(part, named.get(part))
        if not given:
            continue
        for entry in given if isinstance(given, list) else [given]:
            found = _find_entry(files, str(entry), root, config_path)
            if found is None:
                findings.notes.append(
                    f"{config_path} names {str(entry)[:100]!r} for {part}, which is not in the folder"
                )
            else:
                parts.setdefault(part, []).extend(_images_of(files, found, findings))
    parts = {part: list(dict.fromkeys(paths)) for part, paths in parts.items() if paths}
    if "train" in parts and parts.get("val") == parts["train"]:
        del parts["val"]
    if "train" in parts:
        return parts
    if not files.images:
        raise InputError(f"{files.image_root} has no images; give their folder with --train-images or --val-images.")
    by_part: dict[str, list[str]] = {}
    for path, part in files.parts_by_folder(files.images).items():
        by_part.setdefault(part, []).append(path)
    return by_part


def _find_entry(files: DataFiles, entry: str, root: str, config_path: str) -> str | None:
    """Return the folder or list that an entry of data.yaml names, below the root of the images; else None.

    Roboflow writes "../train/images" for the folder train/images next to the file, and `path` is often that of another
    machine.
    """
    entry, near = entry.replace("\\", "/"), posixpath.dirname(config_path)
    inner = entry.lstrip("./") or "none"
    for candidate in (
        posixpath.join(near, root, entry),
        posixpath.join(near, entry),
        posixpath.join(near, inner),
        inner,
    ):
        path = posixpath.normpath(candidate)
        if not path.startswith(("..", "/")) and (files.image_root / path).exists():
            return path
    return None


def _images_of(files: DataFiles, found: str, findings: Findings) -> Iterator[str]:
    """Yield the images of a folder, or of a text file with one path per line."""
    if found.endswith(".txt"):
        for line in read_lines(files.image_root / found, "list of images", "give one path per line"):
            path = files.find_image(line, posixpath.dirname(found), found, findings)
            if path is not None:
                yield path
        return
    prefix = "" if found == "." else f"{found}/"
    for path in files.images:
        if path.startswith(prefix):
            yield path


def _label_files(files: DataFiles, images: list[str]) -> dict[str, str]:
    """Return the label file of each image that has one: with labels for images in its path, next to it, or by name."""
    all_files = DataFiles(files.root) if files.given_file is not None else files
    texts = {path for path in all_files.with_suffix(".txt") if posixpath.basename(path) not in _NAME_FILES}
    by_stem: dict[str, list[str]] = {}
    for path in texts:
        by_stem.setdefault(posixpath.splitext(posixpath.basename(path))[0], []).append(path)
    labels = {}
    for image in images:
        stem = posixpath.splitext(image)[0]
        folders, name = posixpath.split(stem)
        parts = folders.split("/")
        candidates = [f"{stem}.txt"]
        for index in reversed(range(len(parts))):
            if parts[index] == "images":
                candidates.insert(0, "/".join([*parts[:index], "labels", *parts[index + 1 :], f"{name}.txt"]))
        candidates += [f"labels/{stem}.txt"]
        found = next((path for path in candidates if path in texts), None)
        named = by_stem.get(name, [])
        if found is None and len(named) == 1 and not files.has_own_images:
            found = named[0]
        if found is not None:
            labels[image] = found
    return labels


def _read_labels(
    path: Path, image: ImageEntry, names: dict[int, str], builder: DatasetBuilder, has_keypoints: bool
) -> None:
    width, height = image.record["width"], image.record["height"]
    for line in read_text(path, "label file", _FIX_LABELS, _MAX_LABEL_BYTES).splitlines():
        fields = line.split()
        if not fields:
            continue
        values = [_number(field) for field in fields]
        numbers = values[1:5] if has_keypoints or len(values) == 6 else values[1:]  # six: a score follows the box
        is_readable = len(numbers) == 4 or (len(numbers) >= 6 and len(numbers) % 2 == 0)
        if not is_readable or not all(map(math.isfinite, [values[0], *numbers])):
            builder.findings.count("bad_numbers", image.source)
            continue
        name = names.get(int(values[0])) if values[0].is_integer() else None
        if name is None:
            builder.findings.count("unknown_class", image.source)
        elif len(numbers) == 4:
            x, y, w, h = numbers[0] * width, numbers[1] * height, numbers[2] * width, numbers[3] * height
            builder.add_box(image, name, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
        else:
            builder.add_polygons(image, name, [np.array(numbers).reshape(-1, 2) * (width, height)])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_fraction(text: bytes) -> bool:
    return 0 <= _number(text.decode("latin-1")) <= 1
