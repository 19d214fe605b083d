"""Files of LabelMe, one for each image."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eva_engine.atomic import atomic_path
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.json_text import to_json

from ..result import DetectionResult
from .polygons import mask_polygons

_VERSION = "5.5.0"  # of LabelMe, whose format this is


@contextmanager
def open_labelme(
    folder: Path,
    inputs: Sequence[Input],  # noqa: ARG001  all formats have the same arguments
    categories: Categories,  # noqa: ARG001
) -> Iterator[Callable[[Input, DetectionResult], None]]:
    """Write `labelme/<stem>.json` with a path to the image, and a polygon or rectangle for each part of an object."""

    def write(item: Input, result: DetectionResult) -> None:
        path = with_suffix(folder / "labelme" / item.stem, ".json")
        height, width = result.size
        document: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": _shapes(result),
            "imagePath": os.path.relpath(os.path.abspath(item.path), os.path.abspath(path.parent)),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        with atomic_path(path) as partial:
            partial.write_text(to_json(document) + "\n", encoding="utf-8")

    yield write


def _shapes(result: DetectionResult) -> list[dict[str, Any]]:
    shapes = []
    for index, (class_id, score) in enumerate(zip(result.class_ids.tolist(), result.scores.tolist(), strict=True)):
        polygons = [] if result.rles is None else mask_polygons(result.rles[index])
        parts = [("polygon", polygon) for polygon in polygons] or [("rectangle", result.boxes[index].reshape(2, 2))]
        for kind, points in parts:
            shape = {
                "label": result.class_names[class_id],
                "points": points.astype(float).round(2).tolist(),
                "group_id": index if len(parts) > 1 else None,  # the parts of an object belong together
                "description": f"{score:.1%}",
                "shape_type": kind,
                "flags": {},
            }
            shapes.append(shape)
    return shapes
