"""What a label map gives to people and to other libraries."""

import pickle

import numpy as np
import pycocotools.mask as mask_util
import pytest

from eva_semseg.prediction.result import LabelMapResult

LABELS = np.zeros((6, 8), np.uint8)
LABELS[:, 5:] = 2  # 18 of 48 pixels


@pytest.fixture
def result() -> LabelMapResult:
    return LabelMapResult(
        path="a.png", image=np.zeros((6, 8, 3), np.uint8), class_names=("sky", "sea", "land"), labels=LABELS
    )


def test_surface(result):
    assert repr(result) == "LabelMapResult(a.png: sky 62.5%, land 37.5%)"
    assert result.class_ids.tolist() == [0, 2]
    np.testing.assert_array_equal(result.masks, [LABELS == 0, LABELS == 2])
    assert result.scores is None
    copy = pickle.loads(pickle.dumps(result))
    assert copy.to_dict() == result.to_dict()


def test_coco(result):
    found = result.to_coco(image_id=7)
    assert [(record["image_id"], record["category_id"]) for record in found] == [(7, 0), (7, 2)]
    np.testing.assert_array_equal(mask_util.decode(found[1]["segmentation"]), LABELS == 2)


def test_supervision(result):
    pytest.importorskip("supervision")
    detections = result.to_supervision()
    np.testing.assert_array_equal(detections.mask, result.masks)
    assert detections.class_id.tolist() == [0, 2]
    assert detections.data["class_name"].tolist() == ["sky", "land"]
    assert detections.xyxy[1].tolist() == [5, 0, 8, 6]


def test_pandas(result):
    pytest.importorskip("pandas")
    assert result.to_pandas().fraction.tolist() == [0.625, 0.375]
