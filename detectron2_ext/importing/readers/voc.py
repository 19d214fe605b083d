"""Pascal VOC: an XML file for each image, whose boxes are numbers of pixels."""

import posixpath
from xml.etree.ElementTree import Element

from eva_backbone.errors import InputError
from eva_engine.data.split_names import split_of
from eva_engine.text_file import read_lines

from ..data_files import DataFiles
from ..findings import Findings
from ..image_sizes import read_size
from ..imported_data import DatasetBuilder, ImportedData, ImportOptions
from ..pixel_numbers import PixelNumbers
from ..untrusted_files import read_xml

NAME = "Pascal VOC"
_SAMPLE = 20
_FIX_LIST = "give a list of file stems such as ImageSets/Main/train.txt"


def recognise(files: DataFiles) -> str | None:
    """Return what shows that the data has this format, or None."""
    paths = files.with_suffix(".xml")
    if any(b"<annotation>" in files.head(path) or b"<annotation " in files.head(path) for path in paths[:_SAMPLE]):
        return f"{len(paths):,} XML files with <annotation>"
    return None


def read(files: DataFiles, options: ImportOptions) -> ImportedData:
    """Read the XML files; those of the lists in ImageSets/Main, if there are some."""
    findings = Findings()
    builder = DatasetBuilder(findings, options.renamed)
    pixels = PixelNumbers(1 if options.pixels_from is None else options.pixels_from)
    for path, part in _parts(files, options, findings).items():
        try:
            root = read_xml(files.root / path)
            _read_image(root, path, part, files, builder, pixels, options.difficult)
        except InputError as error:
            findings.refuse(path, error)
    findings.notes += pixels.notes()
    return ImportedData(
        NAME,
        files.source,
        files.image_root,
        builder.finish(options.class_names),
        findings,
        options.class_names is not None,
    )


def _parts(files: DataFiles, options: ImportOptions, findings: Findings) -> dict[str, str]:
    """Return the part of each XML file that is used."""
    paths = files.with_suffix(".xml")
    lists = {}
    if options.listing is not None:
        lists["all"] = read_lines(options.listing, "split file", _FIX_LIST)
    else:
        for path in files.with_suffix(".txt"):
            stem = posixpath.splitext(posixpath.basename(path))[0]
            part = split_of(stem)
            if posixpath.dirname(path).endswith("ImageSets/Main") and part in ("train", "val", "test") and stem == part:
                lists[part] = read_lines(files.root / path, "split file", _FIX_LIST)
    if not lists or (options.listing is None and "train" not in lists):
        return files.parts_by_folder(paths)
    by_stem = {posixpath.splitext(posixpath.basename(path))[0]: path for path in paths}
    parts = {}
    for part, lines in lists.items():
        for line in lines:
            stem = line.split()[0]
            if stem in by_stem:
                parts[by_stem[stem]] = part
            elif part != "test":  # the published test sets have no annotations
                findings.refuse(f"{stem}.xml", f"listed for {part}, but there is no such file")
    return parts


def _read_image(
    root: Element,
    path: str,
    part: str,
    files: DataFiles,
    builder: DatasetBuilder,
    pixels: PixelNumbers,
    difficult: str,
) -> None:
    name = (root.findtext("filename") or "").strip() or posixpath.splitext(posixpath.basename(path))[0]
    image_path = files.find_image(name, posixpath.dirname(path), path, builder.findings)
    if image_path is None:
        return
    width, height = _number(root, "size/width"), _number(root, "size/height")
    if not (width >= 1 and height >= 1):
        width, height = read_size(files.image_root / image_path)
    image = builder.add_image(part, image_path, int(width), int(height), path)
    if image is None:
        return
    for element in root.iter("object"):
        is_difficult = (element.findtext("difficult") or "").strip() in ("1", "True", "true")
        if is_difficult and difficult == "drop":
            builder.findings.count("dropped_difficult", path)
            continue
        corners = [_number(element, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
        builder.add_box(
            image,
            element.findtext("name"),
            pixels.to_corners(corners, image.record["width"], image.record["height"], path),
            is_difficult and difficult == "ignore",
            difficult=int(is_difficult),
        )


def _number(element: Element, tag: str) -> float:
    """Return the number in a tag; NaN if there is none."""
    try:
        return float(element.findtext(tag) or "nan")
    except ValueError:
        return float("nan")
