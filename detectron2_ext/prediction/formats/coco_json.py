"""One dataset in COCO's format for all images, which pycocotools, hotcoco, supervision, CVAT and Label Studio read.

The annotations also have the scores, so that `COCO.loadRes` accepts the list as results.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pycocotools.mask as mask_util

from eva_engine.atomic import atomic_path
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.json_text import to_json, whole_records

from ..result import DetectionResult
from .file_names import names_below_common_folder
from .polygons import box_polygon, mask_polygons

_PART = 2**20  # letters that are copied at once


@contextmanager
def open_coco(folder: Path, inputs: Sequence[Input], categories: Categories) -> Iterator[Any]:
    """Write `coco.json`, with masks as compressed run lengths."""
    with _open_dataset(folder / "coco.json", inputs, categories, _run_lengths) as write:
        yield write


@contextmanager
def open_coco_polygons(folder: Path, inputs: Sequence[Input], categories: Categories) -> Iterator[Any]:
    """Write `coco_polygons.json`, with the outlines of masks as polygons, for tools that draw and edit them."""
    with _open_dataset(folder / "coco_polygons.json", inputs, categories, _polygons) as write:
        yield write


@contextmanager
def _open_dataset(
    path: Path,
    inputs: Sequence[Input],
    categories: Categories,
    to_segmentation: Callable[[DetectionResult, int], Any],
) -> Iterator[Callable[[Input, DetectionResult], None]]:
    """Write a dataset whose size does not affect memory use; after an error, it has the images until then.

    Args:
        path: The file, which appears when the block ends.
        inputs: All inputs.
        categories: Names and ids of the model's classes.
        to_segmentation: Function from a result with masks and the index of an object to its `segmentation`.
    """
    name_of = names_below_common_folder(inputs)
    listed = [
        {"id": number, "name": name, "supercategory": ""}
        for number, name in zip(categories.ids, categories.names, strict=True)
    ]
    num_images = num_annotations = 0
    interruption: BaseException | None = None
    with (
        atomic_path(path) as partial,
        whole_records(partial) as write_text,
        tempfile.TemporaryFile("w+", dir=path.parent, encoding="utf-8") as images,
    ):
        write_text(f'{{"info": {{"description": "predictions"}},\n"categories": {to_json(listed)},\n"annotations": [')

        def write(item: Input, result: DetectionResult) -> None:
            nonlocal num_images, num_annotations
            annotations = _annotations(result, num_images + 1, num_annotations + 1, to_segmentation)
            separator = ",\n" if num_annotations else "\n"
            if annotations:
                write_text(separator + ",\n".join(to_json(annotation) for annotation in annotations))
            height, width = result.size
            image = {"id": num_images + 1, "file_name": name_of(item), "width": width, "height": height}
            separator = ",\n" if num_images else "\n"
            images.write(separator + to_json(image))
            num_images += 1
            num_annotations += len(annotations)

        try:
            yield write
        except BaseException as error:  # a long run may have taken hours: complete the file before it ends
            interruption = error
        write_text('\n],\n"images": [')
        images.seek(0)
        while part := images.read(_PART):
            write_text(part)
        write_text("\n]}\n")
    if interruption:
        raise interruption


def _annotations(
    result: DetectionResult, image_id: int, first_id: int, to_segmentation: Callable[[DetectionResult, int], Any]
) -> list[dict[str, Any]]:
    annotations = []
    for index, record in enumerate(result.to_coco(image_id)):
        record["segmentation"] = [] if result.rles is None else to_segmentation(result, index)
        width, height = record["bbox"][2:]
        area = width * height if result.rles is None else float(mask_util.area(result.rles[index]))
        annotations.append({"id": first_id + index, **record, "area": area, "iscrowd": 0})
    return annotations


def _run_lengths(result: DetectionResult, index: int) -> dict[str, Any]:
    rle = result.rles[index]  # type: ignore[index]  # called only if there are masks
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}


def _polygons(result: DetectionResult, index: int) -> list[list[float]]:
    polygons = mask_polygons(result.rles[index]) or [box_polygon(result.boxes[index])]  # type: ignore[index]
    return [polygon.round(2).ravel().tolist() for polygon in polygons]
