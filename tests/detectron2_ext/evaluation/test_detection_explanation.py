"""Explanations of detection: every number is that of pycocotools, lvis or hotcoco, called directly."""

import contextlib
import io
import json
from pathlib import Path

import hotcoco
import numpy as np
import pytest
from evaluation_cases import Case, CaseOptions, make_case
from evaluation_oracles import lvis_oracle
from model_outputs import evaluate, model_outputs
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectron2_ext.evaluation import COCOEvaluator, LVISEvaluator
from detectron2_ext.evaluation.score_thresholds import THRESHOLDS, count_by_threshold, threshold_record
from eva_engine.report import Chart, ImageGrid, Matrix, Table

IDS = (7, 8, 9, 12)
CLASSES = {category_id: index for index, category_id in enumerate(IDS)}
METADATA = {"thing_classes": ["ant", "bee", "cat", "dog"], "thing_dataset_id_to_contiguous_id": CLASSES}
OPTIONS = CaseOptions(category_ids=IDS, score_levels=40, num_detections=(0, 30))


def written(folder: Path, case: Case) -> Case:
    """The case with the detections that the evaluator has written: float32 boxes and scores of the model."""
    (file,) = folder.glob("*_instances_results.json")
    return Case(case.ground_truth, json.loads(file.read_text()))


@pytest.fixture
def explained(register, tmp_path: Path):
    """`explained(case)` evaluates a case with images; returns (evaluator, sections by title, evaluated case)."""

    def _explained(case: Case, evaluator_class=COCOEvaluator, with_images: bool = True, **options):
        name = register(case.ground_truth, **METADATA)
        evaluator = evaluator_class(name, output_dir=str(tmp_path / "out"), **options)
        inputs, outputs = model_outputs(case, CLASSES)
        for source in inputs if with_images else ():
            source["file_name"] = str(tmp_path / f"{source['image_id']}.png")
            Image.new("RGB", (source["width"], source["height"]), "gray").save(source["file_name"])
        evaluate(evaluator, inputs, outputs)
        sections = {section.title: section for section in evaluator.explain(None, None)}
        return evaluator, sections, written(tmp_path / "out", case)

    return _explained


def columns_of(table: Table) -> dict[str, list]:
    return {name: [row[index] for row in table.rows] for index, name in enumerate(table.columns)}


def part(section, title: str):
    (found,) = [one for one in section.parts if one.title == title]
    return found


def pycocotools_counts(case: Case, threshold: float, category_id: int) -> tuple[int, int, int]:
    """Right and wrong detections and objects at IoU 0.5, from the matches of pycocotools without lower scores."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(case.ground_truth))
        truth.createIndex()
        kept = [record for record in case.results("bbox") if record["score"] >= threshold]
        evaluation = COCOeval(truth, truth.loadRes(kept), "bbox")
        evaluation.params.catIds = [category_id]
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    right = wrong = objects = 0
    for image in filter(None, evaluation.evalImgs):
        counts = ~image["dtIgnore"][0].astype(bool)
        matched = image["dtMatches"][0] > 0
        right += int((counts & matched).sum())
        wrong += int((counts & ~matched).sum())
        objects += int((image["gtIgnore"] == 0).sum())
    return right, wrong, objects


@pytest.mark.parametrize("index", [0, 30, 50, 80])
def test_counts_are_those_of_pycocotools(explained, index: int) -> None:
    case = make_case(5, CaseOptions(category_ids=IDS, crowds=0.2, score_levels=40, num_detections=(5, 30)))
    evaluator, _, case = explained(case)
    counts = evaluator._diagnose(_numbered(evaluator)).counts()
    for k, category_id in enumerate(IDS):
        found = counts.right[k, index], counts.wrong[k, index], counts.objects[k]
        assert found == pycocotools_counts(case, THRESHOLDS[index], category_id)
    assert counts.right[:, index].sum() > 3


def _numbered(evaluator) -> list[dict]:
    from detectron2_ext.evaluation.predictions import to_numbers

    return to_numbers(evaluator._results, "bbox", evaluator._ground_truth)


@pytest.mark.parametrize("index", [0, 30, 60])
def test_recall_is_that_of_lvis(register, tmp_path: Path, index: int) -> None:
    ids = (1, 2, 3, 4, 5)
    case = make_case(8, CaseOptions(category_ids=ids, unused_categories=1, num_detections=(0, 30), lvis=True))
    evaluator = LVISEvaluator(register(case.ground_truth), output_dir=str(tmp_path / "out"))
    evaluate(evaluator, *model_outputs(case, {category_id: category_id - 1 for category_id in ids}))
    recall = evaluator._diagnose(_numbered(evaluator)).counts().recall()[:, index]
    case = written(tmp_path / "out", case)
    kept = [record for record in case.detections if record["score"] >= THRESHOLDS[index]]
    expected = lvis_oracle(Case(case.ground_truth, kept), "bbox", 300, tmp_path)[1][0, :, 0]
    np.testing.assert_allclose(np.nan_to_num(recall, nan=-1), expected, atol=1e-12)
    assert (recall > 0).sum() > 2
    assert evaluator.explain(None, None)[0].title == "Score threshold"


def test_the_numbers_are_those_of_hotcoco(explained) -> None:
    evaluator, sections, case = explained(make_case(3, OPTIONS))
    truth = hotcoco.COCO(case.ground_truth)
    oracle = hotcoco.COCOeval(truth, truth.load_res(case.results("bbox")), "bbox")
    oracle.evaluate()
    oracle.accumulate()
    oracle.summarize()

    tide = oracle.tide_errors()
    kinds = columns_of(part(sections["Errors"], "Kinds of errors"))
    assert dict(zip(kinds["error"], kinds["number"], strict=True))["nothing there"] == tide["counts"]["Bkg"] > 0
    assert sorted(kinds["AP50 without them"]) == pytest.approx(
        sorted(100 * tide["delta_ap"][name] for name in tide["counts"])
    )
    assert sum(kinds["% of errors"]) == pytest.approx(100)

    calibration = oracle.calibration()
    measured = part(sections["Score threshold"], "Calibration").lines[1]
    assert list(measured.y) == pytest.approx([b["avg_accuracy"] for b in calibration["bins"] if b["count"]])
    assert f"error is {100 * calibration['ece']:.1f}%" in part(sections["Score threshold"], "Calibration").note

    suggested = part(sections["Score threshold"], "").rows[0][1]
    matrix = part(sections["Confusions"], "Confusion matrix")
    assert matrix.counts == oracle.confusion_matrix(min_score=suggested)["matrix"].tolist()

    images = oracle.image_diagnostics()["img_summary"]
    worst = columns_of(part(sections["Worst images"], "Images with errors"))
    found = {Path(file).stem: ap for file, ap in zip(worst["image"], worst["AP50"], strict=True)}
    assert found == pytest.approx({name: 100 * images[int(name)]["ap"] for name in found}, nan_ok=True)
    by_ap = columns_of(part(sections["Errors"], "Images by their AP"))
    assert sum(by_ap["images"]) == sum(record["ap"] >= 0 for record in images.values())

    rows = {row["category"]: row for row in json.loads(next((evaluator._output_dir).glob("*ap.json")).read_text())[:4]}
    classes = columns_of(part(sections["Classes"], ""))
    for name, ap, objects in zip(classes["class"], classes["AP"], classes["objects"], strict=True):
        assert (ap, objects) == (pytest.approx(rows[name]["AP"]), rows[name]["num_ground_truths"])
    assert set(classes) >= {"mask AP", "best F1", "best threshold", "precision at 0.50", "recall at 0.50"}
    curves = part(sections["Classes"], "Precision over recall").lines[0]
    assert list(curves.y) == pytest.approx(oracle.report()["curves"]["pr@0.50"])
    sizes = columns_of(part(sections["Errors"], "Sizes"))
    expected = [100 * value if value >= 0 else np.nan for value in oracle.stats[3:6]]
    assert sizes["AP"] == pytest.approx(expected, nan_ok=True)


def test_images_and_cells_are_drawn(explained) -> None:
    _, sections, _ = explained(make_case(3, OPTIONS))
    (grid,) = [one for one in sections["Worst images"].parts if isinstance(one, ImageGrid)]
    rows = part(sections["Worst images"], "Images with errors").rows
    assert 1 <= len(grid.figures) <= 12
    name, right, wrong, missed = rows[0][:4]
    assert grid.figures[0].caption == f"{Path(name).name}: {right} right, {wrong} wrong, {missed} missed"
    assert [label for label, _ in grid.figures[0].images] == ["Ground truth", "Prediction"]
    matrix = part(sections["Confusions"], "Confusion matrix")
    assert {key.split(",")[0] for key in matrix.examples} >= {"4"}, "detections where nothing is"
    assert {key.split(",")[1] for key in matrix.examples} >= {"4"}, "objects that were not found"
    for cell, figure in matrix.examples.items():
        row, column = map(int, cell.split(","))
        assert row != column
        assert figure.caption.endswith(f": {matrix.counts[row][column]}")
        assert 1 <= len(figure.images) <= min(3, matrix.counts[row][column])


def test_without_files_of_images_nothing_is_drawn(explained) -> None:
    _, sections, _ = explained(make_case(3, OPTIONS), with_images=False)
    assert not part(sections["Worst images"], "").figures
    assert not part(sections["Confusions"], "Confusion matrix").examples


def test_detections_of_crowds_do_not_count_as_confusions(explained) -> None:
    box = [10.0, 10.0, 50.0, 50.0]
    truth = make_case(3, CaseOptions(num_images=1, num_objects=(0, 0), category_ids=IDS)).ground_truth
    image_id = truth["images"][0]["id"]
    objects = [(7, box, 0), (7, [60.0, 60.0, 50.0, 50.0], 1)]
    truth["annotations"] = [
        {"id": n, "image_id": image_id, "category_id": k, "bbox": b, "iscrowd": crowd, "area": 2500}
        for n, (k, b, crowd) in enumerate(objects, start=1)
    ]
    found = [{"image_id": image_id, "category_id": 7, "bbox": [65.0, 65.0, 20.0, 20.0], "score": 0.9}]
    found.append({"image_id": image_id, "category_id": 7, "bbox": box, "score": 0.8})
    for record in found:
        record["segmentation"] = hotcoco.mask.fr_py_objects([record["bbox"]], 400, 400)[0]
    _, sections, _ = explained_boxes(explained, truth, found)
    assert part(sections["Confusions"], "Confusion matrix").counts == [[1, 0], [0, 0]]


def explained_boxes(explained, truth: dict, found: list[dict]):
    for image in truth["images"]:
        image["width"] = image["height"] = 400
    return explained(Case(truth, found), tasks=("bbox",))


def test_the_suggested_threshold_is_written(explained) -> None:
    evaluator, sections, case = explained(make_case(3, OPTIONS))
    record = json.loads((evaluator._output_dir / "score_threshold.json").read_text())
    chosen = record["score_threshold"]

    def mean_f1(threshold: float) -> float:
        values = []
        for category_id in IDS:
            right, wrong, objects = pycocotools_counts(case, threshold, category_id)
            values.append(2 * right / (right + wrong + objects))
        return sum(values) / len(values)

    assert record["at_score_threshold"]["mean_f1"] == pytest.approx(mean_f1(chosen))
    assert record["at_0.5"]["mean_f1"] == pytest.approx(mean_f1(0.5))
    scores = sorted({record["score"] for record in case.detections})
    assert record["at_score_threshold"]["mean_f1"] == pytest.approx(max(map(mean_f1, scores)), abs=0.03)
    assert f"--score-threshold {chosen:.2f}" in sections["Score threshold"].note
    assert "At 0.5, the default, precision is" in sections["Score threshold"].note


def test_the_best_threshold_is_found_by_class() -> None:
    # Class 0: one right detection above two wrong ones. Class 1: right ones only. Class 2: no objects.
    scores = np.array([0.9, 0.4, 0.3, 0.31, 0.29, 0.95])
    classes = np.array([0, 0, 0, 1, 1, 2])
    is_right = np.array([True, False, False, True, True, False])
    counts = count_by_threshold(scores, classes, is_right, np.array([2, 2, 0]))
    assert counts.right[:, 29].tolist() == [1, 2, 0]
    assert counts.wrong[:, 29].tolist() == [2, 0, 1]
    assert counts.right[:, 30].tolist() == [1, 1, 0]
    record = threshold_record(counts, ["a", "b", "c"])
    assert record["score_threshold"] == 0.0, "mean of 0.4 and 1; from 0.41 on 0.67 and 0"
    assert record["classes"]["a"] == {"score_threshold": 0.41, "precision": 1.0, "recall": 0.5, "f1": 2 / 3}
    assert record["classes"]["b"] == {"score_threshold": 0.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert list(record["classes"]) == ["a", "b"]
    assert record["at_0.5"]["precision"] == 0.5


def test_a_model_that_finds_nothing(explained) -> None:
    evaluator, sections, _ = explained(Case(make_case(3, OPTIONS).ground_truth, []))
    assert "no score threshold can be suggested" in sections["Score threshold"].note
    assert json.loads((evaluator._output_dir / "score_threshold.json").read_text())["score_threshold"] is None
    assert {type(one) for section in sections.values() for one in section.parts} == {Table, Chart, ImageGrid, Matrix}


def test_nothing_is_explained_without_annotations(register) -> None:
    truth = make_case(3, OPTIONS).ground_truth
    del truth["annotations"]
    evaluator = COCOEvaluator(register(truth, **METADATA))
    evaluate(evaluator, *model_outputs(Case(truth, []), CLASSES))
    assert evaluator.explain(None, None) == []
