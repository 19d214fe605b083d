"""CVAT for images 1.1: one XML file with boxes, polygons, ellipses and masks."""

import math
import posixpath
from xml.etree.ElementTree import Element

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.split_names import split_of

from ...mask_windows import MaskWindow
from ..data_files import DataFiles
from ..findings import Findings
from ..imported_data import DatasetBuilder, ImageEntry, ImportedData, ImportOptions
from ..untrusted_files import read_xml

NAME = "CVAT"
_SAMPLE = 20
_ELLIPSE_CORNERS = 64
_OTHER_SHAPES = ("polyline", "points", "cuboid", "skeleton")


def recognise(files: DataFiles) -> str | None:
    """Return what shows that the data has this format, or None."""
    for path in files.with_suffix(".xml")[:_SAMPLE]:
        if b"<annotations" in files.head(path):
            return f"{path} with <annotations>"
    return None


def read(files: DataFiles, options: ImportOptions) -> ImportedData:
    """Read the XML files with <annotations>, mostly one."""
    findings = Findings()
    builder = DatasetBuilder(findings, options.renamed)
    paths = [path for path in files.with_suffix(".xml") if b"<annotations" in files.head(path)]
    labels: list[str] = []
    for path, part in files.parts_by_folder(paths).items():
        try:
            root = read_xml(files.root / path)
        except InputError as error:
            findings.refuse(path, error)
            continue
        if root.find("track") is not None:
            raise InputError(f"{path} is CVAT's format for videos; export the task as 'CVAT for images 1.1'.")
        labels += [(element.text or "").strip() for element in root.findall("./meta//labels/label/name")]
        subsets = {_subset(element) for element in root.findall("image")}
        for element in root.findall("image"):
            own_part = part
            if "train" in subsets:
                own_part = _subset(element) or part
            _read_image(element, path, own_part, files, builder)
    names = options.class_names or dict(enumerate(filter(None, dict.fromkeys(labels)), start=1)) or None
    content = builder.finish(names)
    return ImportedData(NAME, files.source, files.image_root, content, findings, names is not None)


def _subset(image: Element) -> str | None:
    """Return the part of a project to which an image belongs."""
    part = split_of(image.get("subset", ""))
    return part if part in ("train", "val", "test") else None


def _read_image(element: Element, path: str, part: str, files: DataFiles, builder: DatasetBuilder) -> None:
    name = element.get("name", "")
    near = posixpath.dirname(path)
    # Exports have the images in a folder of this name, and in one for each subset of a project.
    for folder in (f"images/{element.get('subset', '')}", "images"):
        if posixpath.normpath(posixpath.join(near, folder, name)) in files.image_set:
            near = posixpath.join(near, folder)
            break
    image_path = files.find_image(name, near, name or path, builder.findings)
    if image_path is None:
        return
    width, height = (_number(element, key) for key in ("width", "height"))
    if not (width >= 1 and height >= 1):
        builder.findings.refuse(image_path, f"{path} gives it no width and height")
        return
    image = builder.add_image(part, image_path, int(width), int(height), image_path)
    if image is None:
        return
    groups: dict[tuple, list[Element]] = {}
    for index, shape in enumerate(element):
        group = shape.get("group_id") or "0"
        # Shapes of the same class and group are the parts of one object.
        key = (shape.get("label"), group) if group != "0" and shape.tag == "polygon" else (index, "", "")
        groups.setdefault(key, []).append(shape)
    for shapes in groups.values():
        _add_object(shapes, image, builder)


def _add_object(shapes: list[Element], image: ImageEntry, builder: DatasetBuilder) -> None:
    first = shapes[0]
    label, tag = first.get("label"), first.tag
    if tag == "box" and not _rotation(first):
        builder.add_box(image, label, [_number(first, key) for key in ("xtl", "ytl", "xbr", "ybr")])
    elif tag == "box":
        builder.findings.count("rotated", image.source)
        x0, y0, x1, y1 = (_number(first, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        builder.add_polygons(image, label, [_turned(corners, np.array([x0 + x1, y0 + y1]) / 2, _rotation(first))])
    elif tag == "polygon":
        builder.add_polygons(image, label, [_points(shape.get("points", "")) for shape in shapes])
    elif tag == "ellipse":
        centre = np.array([_number(first, "cx"), _number(first, "cy")])
        angles = np.arange(_ELLIPSE_CORNERS) * (2 * math.pi / _ELLIPSE_CORNERS)
        radii = np.array([_number(first, "rx"), _number(first, "ry")])
        outline = centre + radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        builder.add_polygons(image, label, [_turned(outline, centre, _rotation(first))])
    elif tag == "mask":
        window = _mask(first, image)
        if window is None:
            builder.findings.count("bad_numbers", image.source)
        else:
            builder.add_mask(image, label, window)
    elif tag in _OTHER_SHAPES:
        builder.findings.count("not_an_area", image.source)


def _number(element: Element, key: str) -> float:
    try:
        return float(element.get(key, "nan"))
    except ValueError:
        return math.nan


def _rotation(element: Element) -> float:
    angle = _number(element, "rotation")
    return angle if math.isfinite(angle) else 0.0


def _turned(points: np.ndarray, centre: np.ndarray, degrees: float) -> np.ndarray:
    """Return points [N, 2] turned clockwise around a centre."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (points - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre


def _points(text: str) -> np.ndarray:
    """Return the points [N, 2] of "x,y;x,y;..."; one that is not finite if they cannot be read."""
    try:
        return np.array([[float(value) for value in pair.split(",")] for pair in text.split(";")]).reshape(-1, 2)
    except ValueError:
        return np.full((1, 2), np.nan)


def _mask(element: Element, image: ImageEntry) -> MaskWindow | None:
    """Return a mask: lengths of runs in its window, row by row, background first; None if it cannot be read."""
    try:
        left, top, width, height = (int(element.get(key, "")) for key in ("left", "top", "width", "height"))
        counts = np.array([int(count) for count in element.get("rle", "").split(",")], dtype=np.int64)
    except (ValueError, OverflowError):
        return None
    # This check comes before the pixels are created.
    fits = 0 < width <= image.record["width"] and 0 < height <= image.record["height"]
    if not fits or (counts < 0).any() or (counts > width * height).any() or counts.sum() != width * height:
        return None
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return MaskWindow(top, left, pixels.reshape(height, width))
