"""What a result of a detector gives to people and to other libraries."""

import json
import pickle

import numpy as np
import pytest
from detection_results import SIZE, make_result, shapes

from detectron2_ext.prediction.result import DetectionResult


def test_surface():
    result = make_result()
    assert repr(result) == "DetectionResult(a.png: 2 =dog/../x, 1 cat)"
    assert len(result) == 3
    np.testing.assert_array_equal(result.masks, shapes())
    assert result.boxes[0].tolist() == [5, 5, 36, 36]
    assert result.reached_limits == ("3 detections",)
    assert make_result(masks=False).masks is None


def test_pickle_keeps_everything():
    result = make_result()
    copy = pickle.loads(pickle.dumps(result))
    assert copy.to_dict() == result.to_dict()
    assert isinstance(copy, DetectionResult)
    np.testing.assert_array_equal(np.asarray(copy.plot()), np.asarray(result.plot()))
    assert copy.reached_limits == result.reached_limits


def test_a_higher_threshold_leaves_out_objects():
    result = make_result()
    result.track_ids = np.array([3, 0, 4])
    copy = result.with_score_threshold(0.75)
    assert copy.score_threshold == 0.75
    assert copy.to_dict()["detections"] == result.to_dict()["detections"][:2]
    np.testing.assert_array_equal(copy.masks, shapes()[:2])
    assert len(result) == 3
    assert make_result(masks=False).with_score_threshold(1.0).records() == []


def test_json_file(tmp_path):
    path = make_result().save(tmp_path / "sub" / "a.json")
    assert json.loads(path.read_text()) == make_result().to_dict()


def test_pandas():
    pytest.importorskip("pandas")
    table = make_result().to_pandas()
    assert table.category.tolist() == ["=dog/../x", "cat", "=dog/../x"]
    assert table.category_id.tolist() == [9, 7, 9]
    assert table.score.tolist() == [0.9, 0.75, 0.5]


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("is_tracked", [True, False])
def test_a_table_without_objects_has_the_same_columns(masks, is_tracked):
    pytest.importorskip("pandas")
    result = make_result(masks=masks)
    result.track_ids = np.array([3, 1, 4]) if is_tracked else None
    table = result.with_score_threshold(1.0).to_pandas()
    assert len(table) == 0
    assert table.dtypes.to_dict() == result.to_pandas().dtypes.to_dict()


@pytest.mark.parametrize("masks", [True, False])
def test_supervision(masks):
    pytest.importorskip("supervision")
    detections = make_result(masks=masks).to_supervision()
    np.testing.assert_array_equal(detections.xyxy, make_result().boxes)
    assert detections.confidence.tolist() == [np.float32(0.9), 0.75, 0.5]
    assert detections.class_id.tolist() == [1, 0, 1]
    assert detections.data["class_name"].tolist() == ["=dog/../x", "cat", "=dog/../x"]
    if masks:
        np.testing.assert_array_equal(detections.mask, shapes())
        assert len(detections[detections.confidence > 0.6]) == 2
    else:
        assert detections.mask is None
    assert make_result(masks=masks).size == SIZE
