"""LabelMe: a JSON file for each image, with polygons, rectangles, circles and masks."""

import base64
import binascii
import io
import math
import posixpath
from typing import Any

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.image_file import load_image, opened_image
from eva_engine.text_file import read_json

from ...mask_windows import MaskWindow
from ..data_files import DataFiles
from ..findings import Findings
from ..image_sizes import read_size
from ..imported_data import DatasetBuilder, ImageEntry, ImportedData, ImportOptions

NAME = "LabelMe"
_SAMPLE = 20
_MAX_BYTES = 2**28  # an embedded image is ignored, but may be large
_CIRCLE_CORNERS = 64


def recognise(files: DataFiles) -> str | None:
    """Return what shows that the data has this format, or None."""
    paths = files.with_suffix(".json")
    if any(b'"shapes"' in files.head(path) for path in paths[:_SAMPLE]):
        return f"{len(paths):,} JSON files with shapes"
    return None


def read(files: DataFiles, options: ImportOptions) -> ImportedData:
    """Read the JSON files."""
    findings = Findings()
    builder = DatasetBuilder(findings, options.renamed)
    for path, part in files.parts_by_folder(files.with_suffix(".json")).items():
        try:
            content = read_json(files.root / path, "LabelMe file", "repair or remove it", _MAX_BYTES)
            if isinstance(content, dict) and isinstance(content.get("shapes"), list):
                _read_image(content, path, part, files, builder)
            else:
                findings.refuse(path, "it has no list of shapes")
        except InputError as error:
            findings.refuse(path, error)
    content = builder.finish(options.class_names)
    return ImportedData(NAME, files.source, files.image_root, content, findings, options.class_names is not None)


def _read_image(content: dict, path: str, part: str, files: DataFiles, builder: DatasetBuilder) -> None:
    name = content.get("imagePath")
    if not isinstance(name, str) or not name:
        name = posixpath.splitext(posixpath.basename(path))[0]
    image_path = files.find_image(name, posixpath.dirname(path), path, builder.findings)
    if image_path is None:
        return
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if width is None or height is None:
        width, height = read_size(files.image_root / image_path)
    image = builder.add_image(part, image_path, width, height, path)
    if image is None:
        return
    # Shapes of the same class and group are the parts of one object.
    groups: dict[tuple, list[dict]] = {}
    for index, shape in enumerate(content["shapes"]):
        if not isinstance(shape, dict):
            builder.findings.count("bad_numbers", path)
            continue
        group = shape.get("group_id")
        key = (str(shape.get("label")), group) if isinstance(group, int | str) else (index, None, None)
        groups.setdefault(key, []).append(shape)
    for shapes in groups.values():
        _add_object(shapes, image, builder)


def _add_object(shapes: list[dict], image: ImageEntry, builder: DatasetBuilder) -> None:
    label = shapes[0].get("label")
    if len(shapes) == 1 and shapes[0].get("shape_type") == "rectangle":
        points = _points(shapes[0])
        if points is None or len(points) < 2:
            builder.findings.count("bad_numbers", image.source)
        else:
            builder.add_box(image, label, (*points.min(axis=0).tolist(), *points.max(axis=0).tolist()))
        return
    outlines = []
    for shape in shapes:
        if shape.get("shape_type") == "mask":
            _add_mask(shape, image, builder)
            continue
        points = _points(shape)
        if points is None:
            builder.findings.count("bad_numbers", image.source)
            continue
        outline = _outline(shape.get("shape_type"), points)
        if outline is None:
            builder.findings.count("not_an_area", image.source)
        else:
            outlines.append(outline)
    if outlines:
        builder.add_polygons(image, label, outlines)


def _points(shape: dict) -> np.ndarray | None:
    """Return the points [N, 2] of a shape, or None if they are not finite numbers."""
    try:
        points = np.array(shape.get("points"), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    is_readable = points.ndim == 2 and points.shape[1] == 2 and len(points) > 0 and np.isfinite(points).all()
    return points if is_readable else None


def _outline(kind: Any, points: np.ndarray) -> np.ndarray | None:
    """Return the outline [N, 2] of a shape, or None if it has no area."""
    if kind in ("polygon", None):  # the first versions had only polygons
        return points
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if kind in ("rectangle", "rotation"):
        return points
    if kind == "circle" and len(points) == 2:  # its centre and a point on it
        radius = math.dist(*points)
        angles = np.arange(_CIRCLE_CORNERS) * (2 * math.pi / _CIRCLE_CORNERS)
        return points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return None


def _add_mask(shape: dict, image: ImageEntry, builder: DatasetBuilder) -> None:
    """Add a mask, which is a PNG of the box from the first to the last of two points."""
    points = _points(shape)
    try:
        content = base64.b64decode(shape.get("mask") or "", validate=True)
        with opened_image(io.BytesIO(content), f"a mask of {image.source}", "mask") as (opened, _):
            mask = np.array(load_image(opened).convert("L")) > 0
    except (TypeError, ValueError, binascii.Error, InputError):
        mask = None
    if points is None or mask is None or np.abs(points).max() > 1e6:
        builder.findings.count("bad_numbers", image.source)
        return
    left, top = np.round(points.min(axis=0)).astype(int).tolist()
    builder.add_mask(image, shape.get("label"), MaskWindow(top, left, mask))
