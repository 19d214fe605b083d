"""COCO metrics of both backends against pycocotools, on synthetic datasets."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_cases import Case, CaseOptions, make_case
from evaluation_oracles import coco_oracle

from detectron2_ext.evaluation.coco_metrics import measure_coco
from detectron2_ext.evaluation.ground_truth import read_ground_truth
from detectron2_ext.evaluation.precision_recall import PrecisionRecall
from detectron2_ext.evaluation.predictions import to_numbers

CROWDED = {"num_images": 2, "num_objects": (5, 30), "num_detections": (110, 240), "category_ids": (1, 2)}

# name: (options, detection limit)
CASES = {
    "plain": (CaseOptions(), 100),
    "boxes only": (CaseOptions(masks=""), 100),
    "polygons": (CaseOptions(masks="polygon"), 100),
    "compressed masks": (CaseOptions(masks="rle"), 100),
    "uncompressed masks": (CaseOptions(masks="counts"), 100),
    "crowds": (CaseOptions(crowds=0.3), 100),
    "crowds only": (CaseOptions(crowds=1.0), 100),
    "ignore flags, which COCO does not read": (CaseOptions(ignored=0.3), 100),
    "score ties": (CaseOptions(score_levels=3), 100),
    "one score": (CaseOptions(score_levels=1, crowds=0.1), 100),
    "overlap ties": (CaseOptions(grid=16, score_levels=2, crowds=0.1), 100),
    "over 100 detections per image": (CaseOptions(**CROWDED), 100),
    "over 100, ties at the limit": (CaseOptions(**CROWDED, score_levels=4), 100),
    "limit 300": (CaseOptions(**CROWDED), 300),
    "limit 20": (CaseOptions(**CROWDED), 20),
    "limit 1": (CaseOptions(), 1),
    "no detections": (CaseOptions(num_detections=(0, 0)), 100),
    "no annotations": (CaseOptions(num_objects=(0, 0)), 100),
    "neither": (CaseOptions(num_objects=(0, 0), num_detections=(0, 0)), 100),
    "mostly empty images": (CaseOptions(num_images=20, empty_images=0.7), 100),
    "categories without annotations": (CaseOptions(category_ids=(1, 2, 3, 4, 5, 6), unused_categories=4), 100),
    "one category": (CaseOptions(category_ids=(7,)), 100),
    "any category ids": (CaseOptions(category_ids=(900, -3, 0, 2**40)), 100),
    "one image": (CaseOptions(num_images=1, empty_images=0.0, num_objects=(1, 5)), 100),
}


def measure(case: Case, task: str, max_dets: int, backend: str, folder: Path) -> PrecisionRecall:
    file = folder / "ground_truth.json"
    file.write_text(json.dumps(case.ground_truth))
    truth = read_ground_truth(file)
    return measure_coco(truth, to_numbers(case.detections, task, truth), task, max_dets, backend)


def precisions(curves: PrecisionRecall) -> np.ndarray:
    return np.nan_to_num([value / 100 for value in curves.ap_metrics().values()], nan=-1)


def assert_equals_pycocotools(curves: PrecisionRecall, case: Case, task: str, max_dets: int) -> None:
    precision, recall, stats = coco_oracle(case, task, max_dets)
    np.testing.assert_allclose(curves.precision, precision, rtol=0, atol=1e-9)
    np.testing.assert_allclose(curves.recall, recall, rtol=0, atol=1e-9)
    np.testing.assert_allclose(precisions(curves), stats[:6], rtol=0, atol=1e-9)


NAMES_AND_TASKS = [(name, "bbox") for name in CASES] + [(name, "segm") for name in CASES if CASES[name][0].masks]


@pytest.mark.parametrize(("backend", "num_seeds"), [("hotcoco", 3), ("pycocotools", 1)])
@pytest.mark.parametrize(("name", "task"), NAMES_AND_TASKS)
def test_equal_to_pycocotools(name: str, task: str, backend: str, num_seeds: int, tmp_path: Path) -> None:
    options, max_dets = CASES[name]
    for seed in range(num_seeds):
        case = make_case(seed, options)
        curves = measure(case, task, max_dets, backend, tmp_path)
        assert_equals_pycocotools(curves, case, task, max_dets)


def _zero_area_boxes(case: Case) -> None:
    for detection in case.detections[::3]:
        detection["bbox"][2] = 0.0


def _annotated_areas_at_the_borders(case: Case) -> None:
    for annotation, area in zip(case.ground_truth["annotations"], [0, 1024, 1024.01, 9216, 9216.01] * 99, strict=False):
        annotation["area"] = area


def _negative_scores(case: Case) -> None:
    for detection in case.detections:
        detection["score"] -= 0.5


def _polygon_annotations(case: Case) -> list[dict]:
    return [a for a in case.ground_truth["annotations"] if isinstance(a["segmentation"], list)]


def _polygons_over_the_border(case: Case) -> None:
    for annotation in _polygon_annotations(case):
        annotation["segmentation"] = [[value + 80 for value in part] for part in annotation["segmentation"]]


def _parts_of_one_point(case: Case) -> None:
    for annotation in _polygon_annotations(case)[::2]:
        annotation["segmentation"].append(annotation["bbox"][:2])


def _annotations_of_unlisted_images(case: Case) -> None:
    for annotation in case.ground_truth["annotations"][::4]:
        annotation["image_id"] = 5000


def _duplicate_detections(case: Case) -> None:
    case.detections += [dict(detection) for detection in case.detections]


def _own_fields_of_categories(case: Case) -> None:
    for category in case.ground_truth["categories"]:
        category.update(frequency=7, name=f"{category['name']} \ud83d")


def _float_sizes(case: Case) -> None:
    for annotation in case.ground_truth["annotations"]:
        if isinstance(annotation["segmentation"], dict):
            annotation["segmentation"]["size"] = [float(side) for side in annotation["segmentation"]["size"]]


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("change", [_own_fields_of_categories, _float_sizes])
def test_additional_keys_of_custom_files(change, task: str, tmp_path: Path) -> None:
    expected, case = make_case(0, CaseOptions(masks="rle")), make_case(0, CaseOptions(masks="rle"))
    change(case)
    curves = measure(case, task, 100, "hotcoco", tmp_path)
    assert_equals_pycocotools(curves, expected, task, 100)


@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize(
    "change",
    [
        _zero_area_boxes,
        _annotated_areas_at_the_borders,
        _negative_scores,
        _polygons_over_the_border,
        _parts_of_one_point,
        _annotations_of_unlisted_images,
        _duplicate_detections,
    ],
)
def test_equal_to_pycocotools_on_odd_records(change, task: str, tmp_path: Path) -> None:
    for seed in range(3):
        case = make_case(seed, CaseOptions(masks="polygon", crowds=0.1))
        change(case)
        curves = measure(case, task, 100, "hotcoco", tmp_path)
        assert_equals_pycocotools(curves, case, task, 100)
