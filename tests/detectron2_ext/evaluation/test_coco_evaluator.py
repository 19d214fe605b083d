"""The COCO evaluator from model outputs to numbers and files."""

import csv
import json
import math
from pathlib import Path

import detectron2.evaluation
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm
from evaluation_cases import CaseOptions, make_case
from model_outputs import evaluate, model_outputs

import detectron2_ext.evaluation.detection_evaluator
from detectron2_ext.evaluation import COCOEvaluator
from detectron2_ext.mask_windows import EncodedMasks, encode_window, find_window
from eva_backbone.errors import InputError

IDS = (900, -3, 0, 41)
CLASSES = {category_id: index for index, category_id in enumerate(sorted(IDS))}
METADATA = {"thing_classes": ["minus", "zero", "forty-one", "many"], "thing_dataset_id_to_contiguous_id": CLASSES}


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
@pytest.mark.parametrize("max_dets", [None, 10, 300])
def test_equal_to_detectron2(backend: str, max_dets: int | None, register, tmp_path: Path) -> None:
    case = make_case(5, CaseOptions(category_ids=IDS, crowds=0.1, unused_categories=1, score_levels=40))
    name = register(case.ground_truth, **METADATA)
    inputs, outputs = model_outputs(case, CLASSES)
    stock = detectron2.evaluation.COCOEvaluator(
        name, output_dir=str(tmp_path / "stock"), use_fast_impl=False, max_dets_per_image=max_dets
    )
    expected = evaluate(stock, inputs, outputs)
    ours = COCOEvaluator(name, output_dir=str(tmp_path / "ours"), max_dets_per_image=max_dets, backend=backend)
    for output in outputs[::2]:  # as the detector gives masks of large images
        masks = output["instances"].pred_masks
        rles = [encode_window(find_window(mask.numpy()), mask.shape) for mask in masks]
        output["instances"].pred_masks = EncodedMasks(rles)
    results = evaluate(ours, inputs, outputs)
    assert list(results) == list(expected) == ["bbox", "segm"]
    for task in results:
        assert list(results[task]) == list(expected[task])
        assert results[task] == pytest.approx(expected[task], abs=1e-9, nan_ok=True)
    assert math.isnan(results["bbox"]["AP-forty-one"])
    files = [tmp_path / run / "coco_instances_results.json" for run in ("ours", "stock")]
    assert json.loads(files[0].read_text()) == json.loads(files[1].read_text())


def test_category_table(register, tmp_path: Path) -> None:
    case = make_case(1, CaseOptions(category_ids=IDS, crowds=0.3, unused_categories=1))
    evaluator = COCOEvaluator(register(case.ground_truth, **METADATA), output_dir=str(tmp_path / "out"))
    results = evaluate(evaluator, *model_outputs(case, CLASSES))
    rows = json.loads((tmp_path / "out" / "per_category_ap.json").read_text())
    assert [(row["task"], row["category_id"]) for row in rows] == [
        (t, c) for t in ("bbox", "segm") for c in sorted(IDS)
    ]
    for row in rows:
        annotations = [a for a in case.ground_truth["annotations"] if a["category_id"] == row["category_id"]]
        assert row["num_ground_truths"] == sum(not a["iscrowd"] for a in annotations)
        ap = results[row["task"]]["AP-" + row["category"]]
        assert row["AP"] == (None if math.isnan(ap) else ap)
    measured = [row["AP50"] for row in rows if row["task"] == "segm" and row["AP50"] is not None]
    assert sum(measured) / len(measured) == pytest.approx(results["segm"]["AP50"])
    with open(tmp_path / "out" / "per_category_ap.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["category"] for row in table] == [row["category"] for row in rows]
    assert [row["AP"] for row in table] == ["" if row["AP"] is None else str(row["AP"]) for row in rows]
    assert not list((tmp_path / "out").glob("*.partial"))


def _boxes_only(case):
    for annotation in case.ground_truth["annotations"]:
        annotation["segmentation"] = []


def _no_annotations(case):
    case.ground_truth["annotations"] = []


def _test_set(case):
    del case.ground_truth["annotations"]


def _no_detections(case):
    case.detections = []


@pytest.mark.parametrize(
    ("change", "with_masks", "expected"),
    [
        (None, True, {"bbox", "segm"}),
        (None, False, {"bbox"}),
        (_boxes_only, True, {"bbox"}),
        (_boxes_only, False, {"bbox"}),
        (_no_detections, True, {"bbox", "segm"}),
        (_no_detections, False, {"bbox"}),
        (_no_annotations, True, {"bbox"}),
        (_test_set, True, set()),
    ],
)
def test_tasks_follow_predictions_and_annotations(change, with_masks, expected, register, tmp_path: Path) -> None:
    case = make_case(2, CaseOptions(category_ids=IDS))
    if change:
        change(case)
    evaluator = COCOEvaluator(register(case.ground_truth, **METADATA), output_dir=str(tmp_path / "out"))
    results = evaluate(evaluator, *model_outputs(case, CLASSES, with_masks))
    assert set(results) == expected
    assert (tmp_path / "out" / "coco_instances_results.json").exists()
    if change is _no_detections:
        assert results["bbox"]["AP"] == 0
    if change is _no_annotations:
        assert math.isnan(results["bbox"]["AP"])


def test_mask_task_without_any_detection_is_zero(register) -> None:
    case = make_case(2, CaseOptions(category_ids=IDS, num_detections=(0, 0)))
    evaluator = COCOEvaluator(register(case.ground_truth, **METADATA), tasks=["segm"])
    assert evaluate(evaluator, *model_outputs(case, CLASSES, with_masks=False))["segm"]["AP"] == 0


def test_missing_fields_are_completed(register) -> None:
    case = make_case(3, CaseOptions(masks="rle"))
    classes = {category_id: index for index, category_id in enumerate((1, 2, 3, 4))}
    for annotation in case.ground_truth["annotations"]:
        annotation["area"] = float(annotation["bbox"][2] * annotation["bbox"][3])
        annotation["segmentation"] = _box_outline(annotation["bbox"])
    inputs, outputs = model_outputs(case, classes)
    complete = evaluate(COCOEvaluator(register(case.ground_truth)), inputs, outputs)
    assert complete["bbox"]["AP"] > 0
    for annotation in case.ground_truth["annotations"]:
        del annotation["area"], annotation["iscrowd"], annotation["segmentation"]
    for annotation in case.ground_truth["annotations"]:
        annotation["id"] -= 1  # from 0, which pycocotools would take for "no match"
    reduced = evaluate(COCOEvaluator(register(case.ground_truth)), inputs, outputs)
    assert reduced == {"bbox": pytest.approx(complete["bbox"], nan_ok=True)}


def test_area_is_that_of_the_mask_if_there_is_one(register) -> None:
    """A thin cross in a large box is a small object."""
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 120, 0, 120, 4, 0, 4]]}
    content = {"images": [{"id": 1, "width": 150, "height": 150}], "categories": [{"id": 1, "name": "thin"}]}
    for extra in ({"bbox": [0, 0, 120, 120]}, {}):
        name = register({**content, "annotations": [{**annotation, **extra}]})
        results = evaluate(COCOEvaluator(name), [{"image_id": 1}], [{"instances": _one_detection([0, 0, 120, 4])}])
        assert results["bbox"]["APs"] == pytest.approx(0 if extra else 100)
        assert math.isnan(results["bbox"]["APl"])


def test_annotation_without_mask_is_an_ignored_region_for_masks(register) -> None:
    case = make_case(4, CaseOptions(masks="polygon", category_ids=(1, 2), num_objects=(3, 6), empty_images=0.0))
    inputs, outputs = model_outputs(case, {1: 0, 2: 1})
    for annotation in case.ground_truth["annotations"][::3]:
        annotation["segmentation"] = [[1.0, 2.0, 3.0, 4.0]]  # a line
    with_line = evaluate(COCOEvaluator(register(case.ground_truth)), inputs, outputs)
    for annotation in case.ground_truth["annotations"][::3]:
        annotation |= {"segmentation": _box_outline(annotation["bbox"]), "iscrowd": 1}
    as_crowd = evaluate(COCOEvaluator(register(case.ground_truth)), inputs, outputs)
    assert with_line["segm"] == pytest.approx(as_crowd["segm"], nan_ok=True)
    assert with_line["bbox"] != as_crowd["bbox"]


def test_second_evaluation_gives_the_same_metrics(register) -> None:
    case = make_case(6, CaseOptions(category_ids=IDS))
    evaluator = COCOEvaluator(register(case.ground_truth, **METADATA))
    first = evaluate(evaluator, *model_outputs(case, CLASSES))
    assert _same(evaluator.evaluate(), first)
    evaluator.reset()
    assert evaluator.evaluate() == {}


def test_non_finite_detections_are_left_out(register, caplog) -> None:
    case = make_case(6, CaseOptions(category_ids=IDS))
    evaluator = COCOEvaluator(register(case.ground_truth, **METADATA))
    inputs, outputs = model_outputs(case, CLASSES)
    expected = evaluate(evaluator, inputs, outputs)
    broken = _one_detection([0, 0, 9, 9], score=float("nan"), mask_size=outputs[0]["instances"].image_size)
    outputs[0]["instances"] = Instances.cat([outputs[0]["instances"], broken])
    assert _same(evaluate(evaluator, inputs, outputs), expected)
    assert "1 detections with a non-finite box or score" in caplog.text


def test_dataset_in_detectron2_format(tmp_path: Path) -> None:
    annotation = {"bbox": [5, 5, 50, 40], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1}
    records = [{"file_name": "a.jpg", "image_id": 7, "height": 90, "width": 90, "annotations": [annotation]}]
    DatasetCatalog.register("made_dicts", lambda: records)
    MetadataCatalog.get("made_dicts").set(thing_classes=["one", "two"])
    try:
        with pytest.raises(InputError, match="give the evaluator an output_dir"):
            COCOEvaluator("made_dicts")
        evaluator = COCOEvaluator("made_dicts", output_dir=str(tmp_path / "out"))
        outputs = [{"instances": _one_detection([5, 5, 50, 40], class_index=1)}]
        results = evaluate(evaluator, [{"image_id": 7}], outputs)
    finally:
        DatasetCatalog.remove("made_dicts")
        MetadataCatalog.remove("made_dicts")
    assert results["bbox"]["AP-two"] == pytest.approx(100)


def test_wrong_use_is_refused(register) -> None:
    case = make_case(7, CaseOptions(category_ids=IDS))
    name = register(case.ground_truth, **METADATA)
    missing = register(None)
    boxes_only = make_case(7, CaseOptions(masks=""))
    no_masks = register(boxes_only.ground_truth)
    for arguments, sentence in [
        (("no_such_data",), "'no_such_data' is not registered"),
        ((missing,), "no such annotation file; dataset .* registered with this path; check it"),
        ((name, ["bbox", "keypoints"]), "task 'keypoints' is unknown"),
        ((no_masks, ["segm"]), "has boxes only"),
    ]:
        with pytest.raises(InputError, match=sentence):
            COCOEvaluator(*arguments)
    with pytest.raises(InputError, match="backend is 'lvis'"):
        COCOEvaluator(name, backend="lvis")
    with pytest.raises(InputError, match="max_dets_per_image is 0"):
        COCOEvaluator(name, max_dets_per_image=0)


def test_predictions_of_another_dataset_are_refused(register, tmp_path: Path) -> None:
    case = make_case(7, CaseOptions(category_ids=IDS))
    name = register(case.ground_truth, **METADATA)
    inputs, outputs = model_outputs(case, CLASSES)
    busy = max(range(len(outputs)), key=lambda i: len(outputs[i]["instances"]))

    renamed = [dict(record) for record in inputs]
    renamed[busy]["image_id"] = 123456
    with pytest.raises(InputError, match="predictions for image 123456"):
        evaluate(COCOEvaluator(name), renamed, outputs)

    with pytest.raises(InputError, match="The model predicts no masks"):
        evaluate(COCOEvaluator(name, tasks=("segm",)), *model_outputs(case, CLASSES, with_masks=False))

    image = next(i for i in case.ground_truth["images"] if i["id"] == inputs[busy]["image_id"])
    image["width"] += 1
    for annotation in case.ground_truth["annotations"]:
        annotation["segmentation"] = _box_outline(annotation["bbox"])
    evaluator = COCOEvaluator(register(case.ground_truth, **METADATA), output_dir=str(tmp_path / "out"))
    with pytest.raises(InputError, match=rf"masks predicted for image {image['id']} have"):
        evaluate(evaluator, inputs, outputs)
    assert (tmp_path / "out" / "coco_instances_results.json").exists()

    outputs[busy]["instances"].pred_classes[:] = 80
    with pytest.raises(InputError, match="class index 80"):
        evaluate(COCOEvaluator(name), inputs, outputs)


def test_masks_seen_by_another_process_count(register, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(10, CaseOptions(category_ids=IDS))
    name = register(case.ground_truth, **METADATA)
    inputs, outputs = model_outputs(case, CLASSES)
    expected = evaluate(COCOEvaluator(name), inputs, outputs)
    other = COCOEvaluator(name)
    evaluate(other, inputs[:4], outputs[:4])
    for output in outputs[4:]:
        output["instances"].remove("pred_masks")  # rank 0 saw no mask

    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    module = detectron2_ext.evaluation.detection_evaluator
    monkeypatch.setattr(module, "gather_values", lambda own: [own, (4, True)])
    monkeypatch.setattr(module, "gather_records", lambda own: own + other._predictions)
    monkeypatch.setattr(module, "run_on_rank_zero", lambda work: work())
    results = evaluate(COCOEvaluator(name), inputs[4:], outputs[4:])
    assert results["bbox"] == pytest.approx(expected["bbox"], nan_ok=True)
    assert set(results) == {"bbox", "segm"}


def _same(one: dict, other: dict) -> bool:
    return list(one) == list(other) and all(one[task] == pytest.approx(other[task], nan_ok=True) for task in other)


def _box_outline(box: list[float]) -> list[list[float]]:
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def _one_detection(box, score=0.9, class_index=0, mask_size=None) -> Instances:
    instances = Instances(mask_size or (90, 90))
    x, y, w, h = box
    instances.pred_boxes = Boxes(torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32))
    instances.scores = torch.tensor([score])
    instances.pred_classes = torch.tensor([class_index])
    if mask_size:
        instances.pred_masks = torch.zeros((1, *mask_size), dtype=torch.bool)
    return instances
