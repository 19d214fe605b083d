"""The reference implementations, called directly and not through the code under test."""

import contextlib
import copy
import io
import json
from pathlib import Path

import lvis
import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.evaluation.coco_evaluation import COCOevalMaxDets
from evaluation_cases import Case
from pycocotools.coco import COCO


def coco_oracle(case: Case, task: str, max_dets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pycocotools' precision and recall arrays and its twelve metrics (-1 where there is no ground truth)."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(case.ground_truth)
        truth.createIndex()
        if case.detections:
            detections = truth.loadRes(case.results(task))
        else:
            detections = COCO()
            detections.dataset = {**truth.dataset, "annotations": []}
            detections.createIndex()
        # COCOeval itself, with numbers that follow the largest detection limit in place of a fixed 100.
        evaluation = COCOevalMaxDets(truth, detections, task)
        evaluation.params.maxDets = [1, min(10, max_dets), max_dets]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.eval["precision"], evaluation.eval["recall"], evaluation.stats


def lvis_oracle(case: Case, task: str, max_dets: int, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lvis package's precision and recall arrays and its thirteen metrics (-1 without ground truth)."""
    file = folder / "lvis_oracle.json"
    file.write_text(json.dumps(case.ground_truth))
    truth = lvis.LVIS(str(file))
    results = case.results(task) or [_uncounted_detection(case, task)]
    detections = lvis.LVISResults(truth, results, max_dets)
    evaluation = lvis.LVISEval(truth, detections, task)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "float", float, raising=False)  # used by lvis 0.5.3, gone from numpy
        evaluation.run()
    return evaluation.eval["precision"], evaluation.eval["recall"], np.array(list(evaluation.get_results().values()))


def _uncounted_detection(case: Case, task: str) -> dict:
    """The package fails on an empty list; this detection has a class that is not evaluated in its image."""
    present = {(a["image_id"], a["category_id"]) for a in case.ground_truth["annotations"]}
    for image in case.ground_truth["images"]:
        for category in case.ground_truth["categories"]:
            if category["id"] not in image["neg_category_ids"] and (image["id"], category["id"]) not in present:
                shape = {"bbox": [0.0, 0.0, 9.0, 9.0]}
                if task == "segm":
                    runs = [0, 9, image["height"] * image["width"] - 9]
                    rle = {"size": [image["height"], image["width"]], "counts": runs}
                    shape = {"segmentation": mask_util.frPyObjects(rle, *rle["size"])}
                return {"image_id": image["id"], "category_id": category["id"], "score": 0.5, **shape}
    raise AssertionError("every class counts in every image of this case")
