"""COCO and LVIS metrics on real annotation files, which are not part of the repository.

COCO_EVALUATION_DIR names a folder with instances_val2014_100.json, its fake results instances_val2014_fake{bbox,segm}
100_results.json (as distributed with the COCO API, cut to 100 images) and lvis_val_100.json.
"""

import json
import os
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from evaluation_cases import Case
from test_coco_metrics import assert_equals_pycocotools, measure
from test_lvis_metrics import assert_equals_lvis

FOLDER = os.environ.get("COCO_EVALUATION_DIR")

pytestmark = pytest.mark.skipif(FOLDER is None, reason="COCO_EVALUATION_DIR is not set")


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_coco(task: str, backend: str, tmp_path: Path) -> None:
    truth = json.loads(Path(FOLDER, "instances_val2014_100.json").read_text())
    results = json.loads(Path(FOLDER, f"instances_val2014_fake{task}100_results.json").read_text())
    case = Case(truth, results)
    assert_equals_pycocotools(measure(case, task, 100, backend, tmp_path), case, task, 100)


@pytest.mark.parametrize("backend", ["hotcoco", "lvis"])
@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("max_dets", [300, 5])
def test_lvis(max_dets: int, task: str, backend: str, tmp_path: Path) -> None:
    truth = json.loads(Path(FOLDER, "lvis_val_100.json").read_text())
    assert_equals_lvis(Case(truth, _shaken(truth)), task, max_dets, backend, tmp_path)


def _shaken(truth: dict) -> list[dict]:
    """Return every annotation as a detection, slightly moved and sometimes with another class of its image."""
    rng = np.random.default_rng(0)
    images = {image["id"]: image for image in truth["images"]}
    detections = []
    for annotation in truth["annotations"]:
        image = images[annotation["image_id"]]
        classes = [annotation["category_id"]] * 6 + image["neg_category_ids"] + image["not_exhaustive_category_ids"]
        x, y, w, h = annotation["bbox"]
        shift = rng.normal(0, 0.1, 2) * (w, h)
        polygons = [(np.array(p).reshape(-1, 2) + shift).ravel().tolist() for p in annotation["segmentation"]]
        mask = mask_util.merge(mask_util.frPyObjects(polygons, image["height"], image["width"]))
        mask["counts"] = mask["counts"].decode()
        detection = {
            "image_id": image["id"],
            "category_id": int(rng.choice(classes)),
            "bbox": [x + shift[0], y + shift[1], w, h],
        }
        detections.append({**detection, "score": round(float(rng.random()), 2), "segmentation": mask})
    return detections
