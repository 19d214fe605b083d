"""COCO JSON: one file, or one for each part; its records stay as they are, with all their keys."""

import os
import posixpath
import re
import reprlib
from collections.abc import Container
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.split_names import split_of

from ...data.coco_file import is_id, parse_categories, read_coco_file, size_problem
from ...data.image_paths import is_inside
from ...data.segmentation import is_number
from ..data_files import DataFiles
from ..findings import Findings
from ..image_sizes import read_sizes
from ..imported_data import ImportedData, ImportOptions

NAME = "COCO JSON"
_KEYS = re.compile(rb'"(images|annotations)"\s*:')
_OTHER_KINDS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")  # next to COCO's instances
_SAMPLE = 20


def recognise(files: DataFiles) -> str | None:
    """Return what shows that the data has this format, or None."""
    paths = _json_files(files)
    return f"{', '.join(paths[:3])} with images and annotations" if paths else None


def read(files: DataFiles, options: ImportOptions) -> ImportedData:
    """Read the files; records that cannot be used are left out and counted."""
    findings = Findings()
    parts: dict[str, dict] = {}
    json_files: dict[str, Path] = {}
    roots: dict[str, Path] = {}
    for path in _json_files(files):
        part = _part_of(path, files) or "all"
        if part in parts:
            raise InputError(f"{files.source} has the COCO files {json_files[part].name} and {path}; give one of them.")
        content = read_coco_file(files.root / path)
        parse_categories(content["categories"], str(files.root / path))
        roots[part] = _image_root(content, path, files, findings)
        num_records = len(content["images"]), len(content["annotations"])
        is_changed = _complete_images(content, roots[part], findings)
        _check_records(content, path, roots[part], findings)
        _rename(content, options)
        parts[part], json_files[part] = content, files.root / path
        if (len(content["images"]), len(content["annotations"])) != num_records or options.renamed or is_changed:
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
    if any(isinstance(name, str) and files.images_named(_base(name))[0] for name in names):
        return files.image_root  # under other paths, see `_complete_images`
    findings.refuse(path, "its images are not in its folder or in images; give their folder with --train-images")
    return folder


def _exists(root: Path, name: str) -> bool:
    path = os.path.join(root, name.replace("\\", "/"))
    return is_inside(path, str(root)) and os.path.exists(path)


def _base(name: str) -> str:
    return posixpath.basename(name.replace("\\", "/"))


def _complete_images(content: dict, root: Path, findings: Findings) -> bool:
    """Complete the records of images in the way that exports of Label Studio need, and return whether any changed.

    Their file names can be paths in its own storage, ../../media/upload/4/0a1b2c3d-a.png, and sizes can be missing. An
    image of the same name in the image folder is taken if there is exactly one, but only for a path that leads out of
    this folder: any other path to a missing image is a flaw.
    """
    files = DataFiles(root)
    without_size: dict[str, dict] = {}
    is_changed = False
    for record in content["images"]:
        name = record.get("file_name")
        if not isinstance(name, str) or not name:
            continue
        if not is_inside(os.path.join(root, name.replace("\\", "/")), str(root)):
            named, _ = files.images_named(_base(name))
            if len(named) == 1:
                record["file_name"] = name = named[0]
                findings.count("other_path", name)
                is_changed = True
        if record.get("width") is None and record.get("height") is None:
            without_size[posixpath.normpath(name.replace("\\", "/"))] = record
    present = [name for name in without_size if name in files.image_set]
    for name, (width, height) in read_sizes(root, present, findings).items():
        without_size[name].update(width=width, height=height)
        is_changed = True
    return is_changed


def _check_records(content: dict, path: str, root: Path, findings: Findings) -> None:
    """Keep only the images and objects that can be used in the content, and count the others."""
    if path in findings.bad_files:  # without its images, none of the file can be used
        content["annotations"], content["images"] = [], []
        return
    categories = {category["id"] for category in content["categories"]}
    listing = DataFiles(root).image_set
    images: dict[int, dict] = {}
    listed = set()
    for index, record in enumerate(content["images"]):
        image_id, name = record.get("id"), record.get("file_name")
        if is_id(image_id):
            listed.add(image_id)
        problem = _image_problem(record, images)
        if problem is not None:
            file = name if isinstance(name, str) else f"image number {index}"
            findings.refuse(file, f"in {path} it {problem}")
        elif posixpath.normpath(name.replace("\\", "/")) not in listing:
            findings.refuse(name, f"listed in {path}, but not in {root}")
        else:
            images[image_id] = record
    kept = []
    for record in content["annotations"]:
        image_id, category_id = record.get("image_id"), record.get("category_id")
        image = images.get(image_id) if is_id(image_id) else None
        if image is None and is_id(image_id) and image_id in listed:
            continue  # its image is reported
        flaw = "no_image"
        if image is not None:
            flaw = "" if is_id(category_id) and category_id in categories else "unknown_class"
            flaw = flaw or _flaw(record, image)
        if flaw:
            findings.count(flaw, path if image is None else image["file_name"])
        else:
            kept.append(record)
    content["annotations"], content["images"] = kept, list(images.values())


def _image_problem(record: dict, earlier: Container[int]) -> str | None:
    """Return what is wrong with the record of an image, apart from the file itself."""
    image_id, name = record.get("id"), record.get("file_name")
    if not is_id(image_id):
        return f"has id {reprlib.repr(image_id)}"
    if image_id in earlier:
        return f"has the id {image_id} of an earlier image"
    if not isinstance(name, str) or not name:
        return f"has file_name {reprlib.repr(name)}"
    return size_problem(record.get("width"), record.get("height"))


def _flaw(record: dict, image: dict) -> str:
    """Return the flaw of the box of an object, or ""; the loader of the data checks masks."""
    box = record.get("bbox")
    if box is None and record.get("segmentation") is not None:
        return ""
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        return "bad_numbers"
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return "no_area"
    if x >= image["width"] or y >= image["height"] or x + w <= 0 or y + h <= 0:
        return "outside"
    return ""


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
