"""The made annotation file is one of Objects365: its numbers, its classes, and boxes inside of their images."""

import json

import numpy as np
import pytest
from script_runs import run_script

from detectron2_ext.data import OBJECTS365_CLASSES


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    file = tmp_path_factory.mktemp("made") / "train.json"
    result = run_script("synthetic_objects365.py", file, "--images", 10_500, "--boxes", 30_000)
    assert result.returncode == 0, result.stderr
    return json.loads(file.read_text())


def test_numbers_and_classes(content):
    assert (len(content["images"]), len(content["annotations"])) == (10_500, 30_000)
    assert [category["name"] for category in content["categories"]] == list(OBJECTS365_CLASSES)
    assert [image["id"] for image in content["images"]] == list(range(10_500))
    assert [annotation["id"] for annotation in content["annotations"]] == list(range(1, 30_001))
    assert content["images"][1]["file_name"] == "images/v1/patch1/objects365_v1_00000001.jpg"


def test_boxes_are_inside_of_their_images(content):
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    boxes = np.array([annotation["bbox"] for annotation in content["annotations"]])
    limits = np.array([sizes[annotation["image_id"]] for annotation in content["annotations"]])
    assert boxes.min() >= 0
    assert (boxes[:, 2:] > 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= limits + 1e-9).all()


def test_long_tails(content):
    per_image = np.bincount([annotation["image_id"] for annotation in content["annotations"]], minlength=10_500)
    per_class = np.bincount([annotation["category_id"] for annotation in content["annotations"]], minlength=366)
    assert np.median(per_image) < per_image.mean() < per_image.max() / 5
    assert per_class[1] > 50 * per_class[1:].min()
