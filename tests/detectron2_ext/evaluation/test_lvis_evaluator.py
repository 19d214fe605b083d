"""The LVIS evaluator from model outputs to numbers and files."""

import json
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from evaluation_cases import Case, CaseOptions, make_case
from evaluation_oracles import lvis_oracle
from model_outputs import evaluate, model_outputs

from detectron2_ext.evaluation import LVISEvaluator
from eva_backbone.errors import InputError

KEYS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"]
IDS = (1, 2, 3, 4, 5)
OPTIONS = CaseOptions(category_ids=IDS, unused_categories=1, num_detections=(0, 30), lvis=True)


@pytest.mark.parametrize("backend", ["hotcoco", "lvis"])
@pytest.mark.parametrize("max_dets", [300, 9])
@pytest.mark.parametrize("registered_ids", [None, {5: 0, 4: 1, 3: 2, 2: 3, 1: 4}])
def test_equal_to_lvis(backend: str, max_dets: int, registered_ids, register, tmp_path: Path) -> None:
    case = make_case(8, OPTIONS)
    classes = registered_ids or {category_id: category_id - 1 for category_id in IDS}
    metadata = {"thing_dataset_id_to_contiguous_id": registered_ids} if registered_ids else {}
    name = register(case.ground_truth, **metadata)
    evaluator = LVISEvaluator(name, output_dir=str(tmp_path / "out"), max_dets_per_image=max_dets, backend=backend)
    results = evaluate(evaluator, *model_outputs(case, classes))
    assert list(results) == ["bbox", "segm"]
    written = json.loads((tmp_path / "out" / "lvis_instances_results.json").read_text())
    assert Counter(r["category_id"] for r in written) == Counter(d["category_id"] for d in case.detections)
    for task in results:
        assert list(results[task]) == KEYS
        stats = lvis_oracle(Case(case.ground_truth, written), task, max_dets, tmp_path)[2]
        expected = [math.nan if value == -1 else 100 * value for value in stats[:9]]
        np.testing.assert_allclose(list(results[task].values()), expected, rtol=0, atol=1e-9)
    rows = json.loads((tmp_path / "out" / "per_category_ap.json").read_text())
    measured = [row["AP"] for row in rows if row["task"] == "segm" and row["AP"] is not None]
    assert len(measured) >= 4
    assert sum(measured) / len(measured) == pytest.approx(results["segm"]["AP"])


def test_model_with_more_classes_than_the_file(register) -> None:
    """Class indices of LVIS follow from the ids, even if the file lists only some of the categories."""
    case = make_case(8, OPTIONS)
    name = register(case.ground_truth, thing_classes=[f"class {index}" for index in range(9)])
    classes = {category_id: category_id - 1 for category_id in range(1, 10)}
    expected = evaluate(LVISEvaluator(name), *model_outputs(case, classes))
    case.detections += [{**detection, "category_id": 7, "score": 0.001} for detection in case.detections]
    results = evaluate(LVISEvaluator(name), *model_outputs(case, classes))
    assert results["segm"] == pytest.approx(expected["segm"], nan_ok=True)


def test_no_detections_is_zero_and_no_ground_truth_is_nan(register) -> None:
    case = make_case(9, CaseOptions(category_ids=(1, 2, 3), unused_categories=1, num_detections=(0, 0), lvis=True))
    results = evaluate(LVISEvaluator(register(case.ground_truth)), *model_outputs(case, {}))
    assert results["segm"]["AP"] == results["segm"]["APr"] == results["segm"]["APc"] == 0
    assert math.isnan(results["segm"]["APf"])


def _drop_frequency(content):
    del content["categories"][1]["frequency"]


def _drop_negatives(content):
    del content["images"][1]["neg_category_ids"]


def _spoil_list(content):
    content["images"][2]["not_exhaustive_category_ids"] = None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_drop_frequency, "has frequency None, expected 'r', 'c' or 'f'"),
        (_drop_negatives, "has no 'neg_category_ids'"),
        (_spoil_list, "has no 'not_exhaustive_category_ids'"),
    ],
)
def test_file_that_is_not_lvis(change, sentence: str, register) -> None:
    content = make_case(1, OPTIONS).ground_truth
    change(content)
    with pytest.raises(InputError, match=sentence):
        LVISEvaluator(register(content))


def test_lvis_package_missing(register, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(1, OPTIONS)
    evaluator = LVISEvaluator(register(case.ground_truth), backend="lvis")
    monkeypatch.setitem(sys.modules, "detectron2_ext.evaluation.lvis_package", None)
    with pytest.raises(InputError, match="needs the package lvis"):
        evaluate(evaluator, *model_outputs(case, {category_id: category_id - 1 for category_id in IDS}))
