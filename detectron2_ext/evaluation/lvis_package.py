"""Adapter for the evaluation of the lvis package: data from memory, and support for current versions of numpy."""

import logging
import types

import lvis
import lvis.eval
import numpy as np


class _Annotations(lvis.LVIS):
    """Annotations from memory; the package only reads them from a file."""

    def __init__(self, content: dict) -> None:
        self.logger = logging.getLogger(__name__)
        self.dataset = content
        self._create_index()


class _NoResults(_Annotations, lvis.LVISResults):
    """Empty detections; the package fails on an empty list."""

    def __init__(self, content: dict) -> None:
        super().__init__({**content, "annotations": []})


class _NumpyWithFloat:
    """numpy with the alias `np.float` for `float`, which numpy 1.24 removed."""

    float = float

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)


class _Evaluation(lvis.LVISEval):
    # lvis 0.5.3 uses `np.float` in this function only. A copy of the function gets a namespace with that alias, so that
    # numpy itself is not patched.
    accumulate = types.FunctionType(
        lvis.LVISEval.accumulate.__code__, {**vars(lvis.eval), "np": _NumpyWithFloat()}, "accumulate"
    )


def evaluate(content: dict, results: list[dict], task: str, max_dets: int) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate detections with the lvis package.

    Args:
        content: `images`, `annotations` and `categories` in LVIS's format; modified.
        results: Detections in COCO's result format; not modified.
        task: "bbox" or "segm".
        max_dets: Number of detections kept per image.

    Returns:
        Precision [IoU threshold, recall level, category, area range] and recall [IoU threshold, category, area range].
    """
    truth = _Annotations(content)
    if results:
        # The limit is positional, because releases name it differently: max_dets or max_dets_per_im.
        detections = lvis.LVISResults(truth, [dict(result) for result in results], max_dets)
    else:
        detections = _NoResults(content)
    evaluation = _Evaluation(truth, detections, task)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]
