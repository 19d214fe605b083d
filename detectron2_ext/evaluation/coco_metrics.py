"""Precision and recall under COCO's rules, computed by hotcoco or by pycocotools."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .ground_truth import GroundTruth
from .precision_recall import PrecisionRecall


def measure_coco(
    ground_truth: GroundTruth, results: list[dict], task: str, max_dets: int = 100, backend: str = "hotcoco"
) -> PrecisionRecall:
    """Measure precision and recall under COCO's rules.

    Args:
        ground_truth: The annotations.
        results: Detections with `image_id` and `category_id` as numbered by `ground_truth`, `score`, and either `bbox`
            (x, y, width, height) for "bbox" or `segmentation` (compressed RLE) for "segm". They must not have both:
            the libraries would then assign a mask to an area range by the area of its box.
        task: "bbox" or "segm".
        max_dets: Number of detections kept per image and category; recall is also measured at 1 and 10.
        backend: "hotcoco", or "pycocotools", which gives the same numbers but is slow.
    """
    limits = coco_limits(max_dets)
    measure = {"hotcoco": _hotcoco, "pycocotools": _pycocotools}[backend]
    precision, recall = measure(_content(ground_truth, task), results, task, limits)
    return PrecisionRecall(precision, recall, limits)


def evaluate_with_hotcoco(ground_truth: GroundTruth, results: list[dict], task: str, max_dets: int = 100) -> Any:
    """Return the `hotcoco.COCOeval` of the arguments of `measure_coco`, after `accumulate`."""
    return _evaluate(_content(ground_truth, task), results, task, coco_limits(max_dets))


def coco_limits(max_dets: int) -> tuple[int, int, int]:
    """Return the numbers of detections per image and category at which recall is measured."""
    return 1, min(10, max_dets), max_dets


def _content(ground_truth: GroundTruth, task: str) -> dict:
    return {
        "images": ground_truth.images,
        "annotations": ground_truth.annotations_for(task),
        # Other keys of a category are left out, because the library would interpret them as those of LVIS.
        "categories": [{"id": category["id"], "name": str(category["id"])} for category in ground_truth.categories],
    }


def _hotcoco(content: dict, results: list[dict], task: str, limits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    tables = _evaluate(content, results, task, limits).eval
    return tables["precision"], tables["recall"]


def _evaluate(content: dict, results: list[dict], task: str, limits: tuple[int, ...]) -> Any:
    import hotcoco

    truth = hotcoco.COCO(content)
    evaluation = hotcoco.COCOeval(truth, truth.load_res(results), task)
    evaluation.params.max_dets = list(limits)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _pycocotools(
    content: dict, results: list[dict], task: str, limits: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    with _no_stdout():
        truth = _index(content)
        if results:
            # pycocotools writes ids and areas into the results, hence the copies.
            detections = truth.loadRes([dict(result) for result in results])
        else:
            # pycocotools fails on an empty list of results.
            detections = _index({**content, "annotations": []})
        evaluation = COCOeval(truth, detections, task)
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def _index(content: dict) -> COCO:
    """Load annotations from memory; the constructor reads them from a file only."""
    api = COCO()
    api.dataset = content
    api.createIndex()
    return api


@contextlib.contextmanager
def _no_stdout() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield
