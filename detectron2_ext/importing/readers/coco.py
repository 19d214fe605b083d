"""COCO JSON: one file, or one for each part; its records stay as they are, with all their keys."""

import os
import posixpath
import re
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.split_names import split_of

from ...data.coco_file import is_id, read_coco_file
from ...data.image_paths import is_inside
from ...data.segmentation import is_number
from ..data_files import DataFiles
from ..findings import Findings
from ..imported_data import ImportedData, ImportOptions

NAME = "COCO JSON"
_KEYS = re.compile(rb'"(images|annotations|categories|info|licenses)"\s*:')
_OTHER_KINDS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")  # next to COCO's instances
_SAMPLE = 20


def recognise(files: DataFiles) -> str | None:
    """Return what shows that the data has this format, or None."""
    paths = _json_files(files)
    return f"{', '.join(paths[:3])} with images and annotations" if paths else None


def read(files: DataFiles, options: ImportOptions) -> ImportedData:
    """Read the files; objects without area or outside of their image are left out."""
    findings = Findings()
    parts: dict[str, dict] = {}
    json_files: dict[str, Path] = {}
    roots: dict[str, Path] = {}
    for path in _json_files(files):
        part = _part_of(path, files) or "all"
        if part in parts:
            raise InputError(f"{files.source} has the COCO files {json_files[part].name} and {path}; give one of them.")
        content = read_coco_file(files.root / path)
        roots[part] = _image_root(content, path, files, findings)
        num_records = len(content["images"]), len(content["annotations"])
        _check_records(content, path, roots[part], findings)
        _rename(content, options)
        parts[part], json_files[part] = content, files.root / path
        if (len(content["images"]), len(content["annotations"])) != num_records or options.renamed:
            json_files[part] = Path()
    if len(parts) == 1:
        (only,) = parts
        parts, json_files, roots = {"all": parts[only]}, {"all": json_files[only]}, {"all": roots[only]}
    data = ImportedData(NAME, files.source, files.image_root, parts, findings, is_class_list_given=True)
    data.json_files = {part: path for part, path in json_files.items() if path != Path()}
    data.image_roots = roots
    return data


def _json_files(files: DataFiles) -> list[str]:
    paths = []
    for path in files.with_suffix(".json"):
        head = files.head(path)
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b'"shapes"' not in head and _KEYS.search(head):
            paths.append(path)
    instances = [path for path in paths if not posixpath.basename(path).startswith(_OTHER_KINDS)]
    return instances or paths


def _part_of(path: str, files: DataFiles) -> str | None:
    """Return the part of the data that a file describes, by the names of its folders and its own."""
    if files.given_file is not None:
        return None
    stem = posixpath.splitext(posixpath.basename(path))[0]
    words = [*path.split("/")[:-1], stem, *re.split(r"[\W_]+", stem)]
    return next((part for part in map(split_of, words) if part in ("train", "val", "test")), None)


def _image_root(content: dict, path: str, files: DataFiles, findings: Findings) -> Path:
    """Return the folder that the file names are relative to: the first usual one that has the first images."""
    if not files.has_own_images:
        return files.image_root
    folder = (files.root / path).parent
    words = re.split(r"[\W_]+", posixpath.splitext(posixpath.basename(path))[0])
    named = [word for word in words if split_of(word)]
    candidates = [folder, folder / "images"]
    for base in (folder, folder.parent, folder / "images", folder.parent / "images"):
        candidates += [base / name for name in named]
    candidates += [folder.parent / "images", folder.parent]
    names = [record.get("file_name") for record in content["images"][:_SAMPLE]]
    for candidate in candidates:
        if any(isinstance(name, str) and _exists(candidate, name) for name in names):
            return candidate
    findings.refuse(path, "its images are not in its folder or in images; give their folder with --train-images")
    return folder


def _exists(root: Path, name: str) -> bool:
    path = os.path.join(root, name)
    return is_inside(path, str(root)) and os.path.exists(path)


def _check_records(content: dict, path: str, root: Path, findings: Findings) -> None:
    """Remove records that cannot be used from the content, and count them; other flaws stop the training or skip."""
    if path in findings.bad_files:
        return
    listing = DataFiles(root).image_set
    images, missing = {}, set()
    for record in content["images"]:
        image_id, name = record.get("id"), record.get("file_name")
        if not isinstance(name, str) or not is_id(image_id):
            continue  # reported by `load_coco_json`
        images[image_id] = record
        if posixpath.normpath(name.replace("\\", "/")) not in listing:
            missing.add(image_id)
            findings.refuse(name, f"listed in {path}, but not in {root}")
    kept = []
    for record in content["annotations"]:
        image = images.get(record.get("image_id")) if is_id(record.get("image_id")) else None
        flaw = None if image is None else _flaw(record, image)
        if flaw is not None and image is not None:
            findings.count(flaw, image["file_name"])
        elif image is None or image["id"] not in missing:
            kept.append(record)
    content["annotations"] = kept
    content["images"] = [record for record in content["images"] if record.get("id") not in missing]


def _flaw(record: dict, image: dict) -> str | None:
    """Return the flaw of an object with a readable box, or None."""
    box, width, height = record.get("bbox"), image.get("width"), image.get("height")
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        return None
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return "no_area"
    if is_number(width) and is_number(height) and (x >= width or y >= height or x + w <= 0 or y + h <= 0):
        return "outside"
    return None


def _rename(content: dict, options: ImportOptions) -> None:
    """Rename classes, and merge those that get the same name."""
    if not options.renamed:
        return
    ids: dict[str, int] = {}
    new_ids, categories = {}, []
    for category in content["categories"]:
        name = str(category.get("name")).strip()
        name = options.renamed.get(name, name)
        new_ids[category.get("id")] = ids.setdefault(name, category.get("id"))
        if new_ids[category.get("id")] == category.get("id"):
            categories.append({**category, "name": name})
    content["categories"] = categories
    for record in content["annotations"]:
        if is_id(record.get("category_id")):
            record["category_id"] = new_ids.get(record["category_id"], record["category_id"])
