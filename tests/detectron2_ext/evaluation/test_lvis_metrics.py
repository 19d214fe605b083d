"""LVIS metrics of both backends against the lvis package, on synthetic datasets."""

import json
from pathlib import Path

import lvis
import numpy as np
import pycocotools.mask as mask_util
import pytest
from evaluation_cases import Case, CaseOptions, make_case
from evaluation_oracles import lvis_oracle

from detectron2_ext.evaluation.ground_truth import read_ground_truth
from detectron2_ext.evaluation.lvis_metrics import frequency_metrics, measure_lvis
from detectron2_ext.evaluation.predictions import to_numbers

CROWDED = {"num_images": 2, "num_objects": (5, 30), "num_detections": (310, 360), "category_ids": (1, 2, 3)}

# name: (options, detection limit)
CASES = {
    "plain": (CaseOptions(), 300),
    "boxes only": (CaseOptions(masks=""), 300),
    "polygons": (CaseOptions(masks="polygon"), 300),
    "crowds, which LVIS does not know": (CaseOptions(crowds=0.3), 300),
    "ignore flags": (CaseOptions(ignored=0.3), 300),
    "ignore flags and crowds": (CaseOptions(ignored=0.3, crowds=0.3), 300),
    "score ties": (CaseOptions(score_levels=3), 300),
    "overlap ties": (CaseOptions(grid=16, score_levels=1, ignored=0.1), 300),
    "over 300 detections per image": (CaseOptions(**CROWDED), 300),
    "over 300, ties at the limit": (CaseOptions(**CROWDED, score_levels=4), 300),
    "limit 1000": (CaseOptions(**CROWDED), 1000),
    "limit 20": (CaseOptions(**CROWDED, score_levels=9), 20),
    "no detections": (CaseOptions(num_detections=(0, 0)), 300),
    "no annotations": (CaseOptions(num_objects=(0, 0)), 300),
    "mostly empty images": (CaseOptions(num_images=20, empty_images=0.7), 300),
    "categories without annotations": (CaseOptions(category_ids=(1, 2, 3, 4, 5, 6), unused_categories=4), 300),
    "no rare or common category": (CaseOptions(category_ids=(1, 2, 3), unused_categories=2), 300),
    "any category ids": (CaseOptions(category_ids=(900, -3, 0, 2**40)), 300),
}


def assert_equals_lvis(case: Case, task: str, max_dets: int, backend: str, folder: Path) -> None:
    precision, recall, stats = lvis_oracle(case, task, max_dets, folder)
    file = folder / "ground_truth.json"
    file.write_text(json.dumps(case.ground_truth))
    truth = read_ground_truth(file)
    curves = measure_lvis(truth, to_numbers(case.detections, task, truth), task, max_dets, backend)
    np.testing.assert_allclose(curves.precision[..., 0], precision, rtol=0, atol=1e-9)
    np.testing.assert_allclose(curves.recall[..., 0], recall, rtol=0, atol=1e-9)
    percent = curves.ap_metrics() | frequency_metrics(curves, truth)
    precisions = [value / 100 for value in percent.values()]
    np.testing.assert_allclose(np.nan_to_num(precisions, nan=-1), stats[: len(precisions)], rtol=0, atol=1e-9)


NAMES_AND_TASKS = [(name, "bbox") for name in CASES] + [(name, "segm") for name in CASES if CASES[name][0].masks]


@pytest.mark.parametrize(("backend", "num_seeds"), [("hotcoco", 3), ("lvis", 1)])
@pytest.mark.parametrize(("name", "task"), NAMES_AND_TASKS)
def test_equal_to_lvis(name: str, task: str, backend: str, num_seeds: int, tmp_path: Path) -> None:
    options, max_dets = CASES[name]
    for seed in range(num_seeds):
        case = make_case(seed, CaseOptions(**{**vars(options), "lvis": True}))
        assert_equals_lvis(case, task, max_dets, backend, tmp_path)


def _areas_of_zero(case: Case) -> None:
    for annotation in case.ground_truth["annotations"][::3]:
        annotation["area"] = 0


def _zero_area_boxes(case: Case) -> None:
    for detection in case.detections[::3]:
        detection["bbox"][2] = 0.0


def _empty_masks(case: Case) -> None:
    sizes = {image["id"]: (image["height"], image["width"]) for image in case.ground_truth["images"]}
    for detection in case.detections[::3]:
        height, width = sizes[detection["image_id"]]
        empty = np.zeros((height, width, 1), dtype=np.uint8, order="F")
        detection["segmentation"] = mask_util.encode(empty)[0]


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("change", [_areas_of_zero, _zero_area_boxes, _empty_masks])
def test_equal_to_lvis_on_odd_records(change, task: str, tmp_path: Path) -> None:
    for seed in range(3):
        case = make_case(seed, CaseOptions(lvis=True))
        change(case)
        assert_equals_lvis(case, task, 300, "hotcoco", tmp_path)


class _OtherRelease(lvis.LVISResults):
    def __init__(self, lvis_gt, results, max_dets_per_im=300):
        super().__init__(lvis_gt, results, max_dets_per_im)


def test_lvis_release_with_another_parameter_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lvis, "LVISResults", _OtherRelease)
    assert_equals_lvis(make_case(0, CaseOptions(**CROWDED, lvis=True)), "bbox", 50, "lvis", tmp_path)
