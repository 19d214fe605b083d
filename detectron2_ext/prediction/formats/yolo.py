"""Text files of YOLO, one for each image, as Ultralytics, CVAT and Label Studio read them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from eva_engine.atomic import atomic_path
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.json_text import to_json

from ..result import DetectionResult
from .polygons import box_polygon, mask_polygons


@contextmanager
def open_yolo(
    folder: Path,
    inputs: Sequence[Input],  # noqa: ARG001  all formats have the same arguments
    categories: Categories,
) -> Iterator[Callable[[Input, DetectionResult], None]]:
    """Write `yolo/data.yaml` with the class names, and `yolo/labels/<stem>.txt` with a line for each object.

    A line is the index of the class and, as fractions of the image's width and height, the box (centre x and y, width,
    height) or, from a model with masks, the corners of the outline of the largest part. There are no scores.
    """
    root = folder / "yolo"
    with atomic_path(root / "data.yaml") as partial:
        # JSON is valid YAML, whatever characters the names have.
        partial.write_text(f"train: images\nval: images\nnames: {to_json(list(categories.names))}\n", encoding="utf-8")

    def write(item: Input, result: DetectionResult) -> None:
        lines = [f"{class_id} {_numbers(result, index)}\n" for index, class_id in enumerate(result.class_ids.tolist())]
        with atomic_path(with_suffix(root / "labels" / item.stem, ".txt")) as partial:
            partial.write_text("".join(lines), encoding="utf-8")

    yield write


def _numbers(result: DetectionResult, index: int) -> str:
    """Return the numbers of an object after its class."""
    height, width = result.size
    box = result.boxes[index].astype(np.float64)
    if result.rles is None:
        x0, y0, x1, y1 = box / (width, height, width, height)
        values = np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
    else:
        # A file must not mix boxes and outlines, so an object without a mask has that of its box.
        polygon = (mask_polygons(result.rles[index]) or [box_polygon(box)])[0]
        values = (polygon / (width, height)).clip(0, 1).ravel()
    return " ".join(f"{value:.6f}" for value in values.tolist())
