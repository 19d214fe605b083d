"""Unusable annotation files are refused with a message that names the file and the record."""

import copy
import json
from pathlib import Path

import pytest

from detectron2_ext.evaluation.ground_truth import read_ground_truth
from eva_backbone.errors import InputError

SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]
CONTENT = {
    "images": [{"id": 4, "width": 40, "height": 30}, {"id": 2, "width": 40, "height": 30}],
    "categories": [{"id": 9, "name": "nine"}, {"id": -1, "name": "minus"}],
    "annotations": [
        {"id": 0, "image_id": 4, "category_id": 9, "bbox": [2, 2, 10, 10], "segmentation": SQUARE},
        {"id": 8, "image_id": 2, "category_id": -1, "bbox": [0, 0, 5, 4]},
    ],
}


def test_ids_become_consecutive_numbers(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps(CONTENT))
    truth = read_ground_truth(file)
    assert truth.image_numbers == {2: 1, 4: 2}
    assert truth.category_numbers == {-1: 1, 9: 2}
    assert [(a["id"], a["image_id"], a["category_id"]) for a in truth.annotations] == [(1, 2, 2), (2, 1, 1)]
    assert [a["area"] for a in truth.annotations] == [100, 20]


@pytest.mark.parametrize(
    ("part", "index", "key", "value", "sentence"),
    [
        ("images", 1, "id", 4, "image 4 is listed twice"),
        ("images", 0, "id", None, "image number 0 has id None"),
        ("images", 0, "id", "four", "some image ids are numbers and some are strings"),
        ("images", 0, "width", None, "annotation 0 has a mask, but its image has no 'width' and 'height'"),
        ("images", 0, "width", "30", "image 4 has size '30'x30; give 'width' and 'height' in pixels"),
        ("images", 0, "height", False, "image 4 has size 40xFalse"),
        ("images", 0, "width", 2**31 - 1, "image 4 has 2147483647x30 pixels, the limit is"),
        ("categories", 1, "id", 9, "category id 9 is given twice"),
        ("categories", 1, "name", None, "category -1 has no name"),
        ("annotations", 1, "id", 0, "annotation 0 is listed twice"),
        ("annotations", 1, "id", [0], "annotation number 1 has id"),
        ("annotations", 1, "category_id", 5, "annotation 8 has category_id 5, which no category has"),
        ("annotations", 1, "category_id", [5], "annotation 8 has category_id"),
        ("annotations", 1, "iscrowd", "0", "annotation 8 has iscrowd '0'; give it as 0 or 1"),
        ("annotations", 1, "bbox", [1, 2, 3], "annotation 8 has bbox"),
        ("annotations", 1, "bbox", [1, 2, 3, float("nan")], "annotation 8 has bbox"),
        ("annotations", 1, "bbox", [1, 2, 3, 10**400], "annotation 8 has bbox"),
        ("annotations", 1, "bbox", None, "annotation 8 has bbox None"),
        ("annotations", 0, "segmentation", "a mask", "annotation 0 has a segmentation of type str"),
        ("annotations", 0, "segmentation", [["a", "b"]], "annotation 0 has a polygon that is not"),
        ("annotations", 0, "segmentation", [[0, 0, 9, float("nan"), 9, 9]], "annotation 0 has a polygon that is not"),
        ("annotations", 0, "segmentation", [[0.5, 0, 10**400, 0, 9, 9]], "annotation 0 has a polygon that is not"),
        ("annotations", 0, "segmentation", [[[0, 0], [9, 0], [9, 9]]], "annotation 0 has a polygon that is not"),
        ("annotations", 0, "segmentation", [[0, 0, 1e9, 0, 1e9, 9]], "far outside its image"),
        ("annotations", 0, "segmentation", [[0, 0, 9000, 9000] * 100], "annotation 0 has polygons with an outline of"),
        ("annotations", 0, "segmentation", {"size": [40, 30], "counts": [1200]}, "RLE of size"),
        ("annotations", 0, "segmentation", {"size": [30, 40], "counts": [1000]}, "RLE for 1000 pixels, expected 1200"),
        ("annotations", 0, "segmentation", {"size": [30, 40], "counts": "`P"}, "annotation 0 has an RLE"),
    ],
)
def test_bad_records(part: str, index: int, key: str, value: object, sentence: str, tmp_path: Path) -> None:
    content = copy.deepcopy(CONTENT)
    content[part][index][key] = value
    file = tmp_path / "data.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=sentence) as caught:
        read_ground_truth(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not valid JSON"),
        ("[]", "holds a JSON list, expected an object with 'images'"),
        ('{"images": [], "annotations": 3, "categories": []}', "'annotations' is not a list of objects"),
        ('{"images": [1], "categories": []}', "'images' is not a list of objects"),
        ('{"images": [], "annotations": [], "categories": []}', "'categories' is empty"),
    ],
)
def test_not_coco_format(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_ground_truth(file)


def test_bad_annotations_are_left_out_on_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = copy.deepcopy(CONTENT)
    content["annotations"][0]["segmentation"] = {"size": [30, 40], "counts": "`P"}
    file = tmp_path / "data.json"
    file.write_text(json.dumps(content))
    assert [annotation["bbox"] for annotation in read_ground_truth(file, on_error="skip").annotations] == [[0, 0, 5, 4]]
    assert "annotation 0 has an RLE" in caplog.text
    assert "1 bad record(s) skipped" in caplog.text
