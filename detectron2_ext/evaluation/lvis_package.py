"""The lvis package's own evaluation, made to work from memory and with today's numpy."""

import logging
import types

import lvis
import lvis.eval
import numpy as np


class _Annotations(lvis.LVIS):
    """Annotations from memory; the package reads them from a file only."""

    def __init__(self, content: dict) -> None:
        self.logger = logging.getLogger(__name__)
        self.dataset = content
        self._create_index()


class _NoResults(_Annotations, lvis.LVISResults):
    """No detections; the package fails on an empty list."""

    def __init__(self, content: dict) -> None:
        super().__init__({**content, "annotations": []})


class _NumpyWithFloat:
    """numpy under which `np.float` still means `float`, as it did before numpy 1.24."""

    float = float

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)


class _Evaluation(lvis.LVISEval):
    # lvis 0.5.3 writes `np.float` in this one function; it is run with that name defined, numpy itself stays as it is.
    accumulate = types.FunctionType(
        lvis.LVISEval.accumulate.__code__, {**vars(lvis.eval), "np": _NumpyWithFloat()}, "accumulate"
    )


def evaluate(content: dict, results: list[dict], task: str, max_dets: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision [IoU threshold, recall level, category, area range] and recall [same without recall level].

    Args:
        content: `images`, `annotations` and `categories` in LVIS's format; written into.
        results: detections in COCO's result format; not changed.
        max_dets: detections kept per image.
    """
    truth = _Annotations(content)
    if results:
        # By position: releases differ in the name of the third parameter, max_dets or max_dets_per_im.
        detections = lvis.LVISResults(truth, [dict(result) for result in results], max_dets)
    else:
        detections = _NoResults(content)
    evaluation = _Evaluation(truth, detections, task)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]
