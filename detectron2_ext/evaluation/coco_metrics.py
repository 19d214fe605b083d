"""COCO's matching of detections to ground truth, by hotcoco or by pycocotools."""

import contextlib
import io
from collections.abc import Iterator

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .ground_truth import GroundTruth
from .precision_recall import PrecisionRecall


def measure_coco(
    ground_truth: GroundTruth, results: list[dict], task: str, max_dets: int = 100, backend: str = "hotcoco"
) -> PrecisionRecall:
    """Precision and recall under COCO's rules.

    Args:
        results: `image_id` and `category_id` as numbered by `ground_truth`, `score`, and `bbox` (x, y, width, height)
            for "bbox" or `segmentation` (compressed RLE) for "segm", not both: with a box beside the mask the
            libraries would take the area range from the box.
        task: "bbox" or "segm".
        max_dets: detections kept per image and category; recall is also measured at 1 and 10.
        backend: "hotcoco", or "pycocotools", which gives the same numbers slowly.
    """
    limits = (1, min(10, max_dets), max_dets)
    content = {
        "images": ground_truth.images,
        "annotations": ground_truth.annotations_for(task),
        # what else a file says of its categories the library would read as LVIS's
        "categories": [{"id": category["id"], "name": str(category["id"])} for category in ground_truth.categories],
    }
    measure = {"hotcoco": _hotcoco, "pycocotools": _pycocotools}[backend]
    precision, recall = measure(content, results, task, limits)
    return PrecisionRecall(precision, recall, limits)


def _hotcoco(content: dict, results: list[dict], task: str, limits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    import hotcoco

    truth = hotcoco.COCO(content)
    evaluation = hotcoco.COCOeval(truth, truth.load_res(results), task)
    evaluation.params.max_dets = list(limits)
    evaluation.evaluate()
    evaluation.accumulate()
    tables = evaluation.eval or {}
    return tables["precision"], tables["recall"]


def _pycocotools(
    content: dict, results: list[dict], task: str, limits: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    with _silence():
        truth = _index(content)
        # It writes ids and areas into the results, and fails on an empty list.
        detections = truth.loadRes([dict(r) for r in results]) if results else _index({**content, "annotations": []})
        evaluation = COCOeval(truth, detections, task)
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def _index(content: dict) -> COCO:
    api = COCO()
    api.dataset = content
    api.createIndex()
    return api


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield
