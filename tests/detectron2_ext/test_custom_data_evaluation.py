"""Custom data is evaluated with the annotation file as it is: the AP is that of pycocotools on this file."""

import contextlib
import copy
import io
import json
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectron2_ext.data import get_dataset_dicts, register_coco_json
from detectron2_ext.evaluation import COCOEvaluator, LVISEvaluator

NAME = "custom_data_of_one_test"


def _content() -> dict:
    """Two objects in each of six images; every other box extends beyond the left border, by up to three widths."""
    images = [{"id": n, "file_name": f"{n}.png", "width": 120, "height": 96} for n in range(1, 7)]
    annotations = []
    for n in range(1, 7):
        for category, (x, y) in ((1, (8 + 3 * n - 84, 15 + n)), (2, (70 - 4 * n, 40 + 2 * n))):
            width = 112 if category == 1 else 28
            outline = [x, y, x + width, y, x + width, y + 27, x, y + 27]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": n, "category_id": category, "bbox": [x, y, width, 27]}
                | {"area": width * 27, "iscrowd": 0, "segmentation": [outline]}
            )
    categories = [{"id": 1, "name": "bright", "frequency": "c"}, {"id": 2, "name": "grey", "frequency": "f"}]
    for image in images:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    return {"images": images, "annotations": annotations, "categories": categories}


CONTENT = _content()


def _detections() -> list[dict]:
    """Detect the visible part of each box, at a score that decreases, and shifted by more pixels in later images."""
    found = []
    for annotation in CONTENT["annotations"]:
        x, y, w, h = annotation["bbox"]
        left, shift = max(x, 0), annotation["image_id"]
        box = [float(left + shift), float(y), float(x + w - left), float(h)]
        found.append({"image_id": annotation["image_id"], "category_id": annotation["category_id"], "bbox": box})
        found[-1]["score"] = 0.99 - annotation["id"] / 64
    return found


def _expected(content: dict) -> list[float]:
    truth = COCO()
    truth.dataset = copy.deepcopy(content)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(_detections()), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * value if value >= 0 else float("nan") for value in evaluation.stats[:6]]


@pytest.fixture
def evaluated(tmp_path: Path):
    """`evaluated(content)` returns the box metrics of `_detections` for custom data with this content."""

    def evaluate(content: dict, evaluator_class: type = COCOEvaluator, missing: tuple = ()) -> dict[str, float]:
        for number in range(1, 7):
            if number not in missing:
                Image.new("RGB", (120, 96)).save(tmp_path / f"{number}.png")
        (tmp_path / "boxes.json").write_text(json.dumps(content))
        register_coco_json(NAME, tmp_path / "boxes.json", tmp_path, on_error="skip")
        evaluator = evaluator_class(NAME, output_dir=str(tmp_path / "out"))
        for record in get_dataset_dicts(NAME, filter_empty=False):
            found = [item for item in _detections() if item["image_id"] == record["image_id"]]
            boxes = torch.tensor([item["bbox"] for item in found])
            boxes[:, 2:] += boxes[:, :2]
            instances = Instances((96, 120), pred_boxes=Boxes(boxes))
            instances.scores = torch.tensor([item["score"] for item in found])
            instances.pred_classes = torch.tensor([item["category_id"] - 1 for item in found])
            evaluator.process([{"image_id": record["image_id"]}], [{"instances": instances}])
        return evaluator.evaluate()["bbox"]

    yield evaluate
    for catalog in (DatasetCatalog, MetadataCatalog):
        if NAME in catalog:
            catalog.remove(NAME)


def _metrics(result: dict[str, float]) -> list[float]:
    return [result[name] for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")]


def _nothing(content: dict) -> None:
    pass


def _ids_from_zero(content: dict) -> None:
    for annotation in content["annotations"]:
        annotation["id"] -= 1


def _one_without_iscrowd(content: dict) -> None:
    del content["annotations"][3]["iscrowd"]


def _all_without_area(content: dict) -> None:
    for annotation in content["annotations"]:
        del annotation["area"]


def _negative_areas(content: dict) -> None:
    for annotation in content["annotations"]:
        annotation["area"] *= -1


def _one_negative_class(content: dict) -> None:
    for annotation in content["annotations"][::2]:
        annotation["area"] *= -1


def _areas_no_float_can_hold(content: dict) -> None:
    content["annotations"][0]["area"] = 10**400


def _float_ids(content: dict) -> None:
    for annotation in content["annotations"]:
        annotation.update(image_id=float(annotation["image_id"]), category_id=float(annotation["category_id"]))


def _unreadable_record(content: dict) -> None:
    bad = {"size": [96, 120], "counts": [1]}
    content["annotations"].append(content["annotations"][0] | {"id": 99, "segmentation": bad})


@pytest.mark.parametrize(
    "change",
    [
        _nothing,
        _ids_from_zero,
        _one_without_iscrowd,
        _all_without_area,
        _negative_areas,
        _one_negative_class,
        _areas_no_float_can_hold,
        _float_ids,
        _unreadable_record,
    ],
)
def test_equal_to_pycocotools_on_the_file(change, evaluated):
    """Values that pycocotools cannot use are those of the complete file with ids from 1."""
    content = copy.deepcopy(CONTENT)
    change(content)
    expected = _expected(CONTENT)
    assert 5 < expected[0] < 60  # the cut boxes would give more
    assert _metrics(evaluated(content)) == pytest.approx(expected, nan_ok=True)


def test_given_areas_are_kept(evaluated):
    """Objects of a box-only file may have areas smaller than their boxes, which determine their area range."""
    content = copy.deepcopy(CONTENT)
    for annotation in content["annotations"]:
        annotation["area"] = 7.5
    _one_without_iscrowd(content)
    complete = copy.deepcopy(content)
    complete["annotations"][3]["iscrowd"] = 0
    assert _metrics(evaluated(content)) == pytest.approx(_expected(complete), nan_ok=True)


def test_what_training_leaves_out_counts_as_missed(evaluated):
    """A box without area and the objects of a missing image cannot be trained on, but are in the file."""
    content = copy.deepcopy(CONTENT)
    content["annotations"].append(content["annotations"][0] | {"id": 99, "bbox": [5, 5, 0, 4], "segmentation": []})
    present = [item for item in _detections() if item["image_id"] != 6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}._detections", lambda: present)
        assert _metrics(evaluated(content, missing=(6,))) == pytest.approx(_expected(content), nan_ok=True)


@pytest.mark.parametrize("change", [_negative_areas, _one_negative_class, _all_without_area])
def test_areas_under_lvis_rules(change, evaluated, caplog):
    content = copy.deepcopy(CONTENT)
    expected = evaluated(content, LVISEvaluator)
    change(content)
    assert evaluated(content, LVISEvaluator) == pytest.approx(expected, nan_ok=True)
    assert expected["AP"] > 0
    num_reports = caplog.text.count("annotations have a negative area")
    assert num_reports == (0 if change is _all_without_area else 1)
