"""Selecting the detections of one image: thresholds, soft-NMS, non-finite rows."""

from types import SimpleNamespace

import pytest
import torch
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from test_soft_nms import random_boxes

from detectron2_ext.modeling import BoxSelection, batched_soft_nms
from eva_backbone.errors import InputError

SIZE = (50, 70)
PREDICTOR = SimpleNamespace(test_score_thresh=0.2, test_nms_thresh=0.5, test_topk_per_image=10)


def outputs(rows: int = 40, num_classes: int = 3, class_boxes: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    boxes_per_row = num_classes if class_boxes else 1
    boxes = random_boxes(rows * boxes_per_row).view(rows, boxes_per_row * 4)
    return boxes, torch.rand(rows, num_classes + 1).softmax(dim=1)


@pytest.mark.parametrize("class_boxes", [False, True])
def test_hard_nms_is_detectron2s(class_boxes: bool) -> None:
    boxes, scores = outputs(class_boxes=class_boxes)
    found, rows = BoxSelection().select(PREDICTOR, [boxes] * 2, [scores] * 2, [SIZE] * 2)
    stock, stock_rows = fast_rcnn_inference([boxes] * 2, [scores] * 2, [SIZE] * 2, 0.2, 0.5, 10)
    for ours, theirs, a, b in zip(found, stock, rows, stock_rows, strict=True):
        assert torch.equal(ours.pred_boxes.tensor, theirs.pred_boxes.tensor)
        assert torch.equal(ours.scores, theirs.scores)
        assert torch.equal(ours.pred_classes, theirs.pred_classes)
        assert torch.equal(a, b)


@pytest.mark.parametrize("class_boxes", [False, True])
@pytest.mark.parametrize("topk", [None, 7])
def test_soft_nms_of_all_pairs_above_threshold(class_boxes: bool, topk: int | None) -> None:
    boxes, scores = outputs(class_boxes=class_boxes)
    selection = BoxSelection(use_soft_nms=True, iou_threshold=0.4, override_score_thresh=0.25, soft_nms_topk=topk)
    (found,), (rows,) = selection.select(PREDICTOR, [boxes], [scores], [SIZE])
    row, class_id = (scores[:, :3] > 0.25).nonzero(as_tuple=True)
    pairs = boxes.view(40, -1, 4).expand(-1, 3, -1)[row, class_id]
    pairs = torch.minimum(pairs, torch.tensor([70.0, 50.0, 70.0, 50.0])).clamp(min=0)
    keep, decayed = batched_soft_nms(pairs, scores[row, class_id], class_id, iou_threshold=0.4, topk=topk)
    assert len(found) == len(keep) <= (topk or 999)
    assert torch.equal(found.pred_boxes.tensor, pairs[keep])
    assert torch.equal(found.scores, decayed)
    assert torch.equal(found.pred_classes, class_id[keep])
    assert torch.equal(rows, row[keep])


@pytest.mark.parametrize("use_soft_nms", [False, True])
def test_non_finite_rows_are_left_out(use_soft_nms: bool) -> None:
    boxes, scores = outputs()
    boxes[3, 1], scores[5, 0], scores[8, 3] = float("inf"), float("nan"), float("nan")
    selection = BoxSelection(use_soft_nms=use_soft_nms, override_score_thresh=0.0)
    (found,), (rows,) = selection.select(PREDICTOR, [boxes], [scores], [SIZE])
    good = [i for i in range(40) if i not in (3, 5, 8)]
    (expected,), (expected_rows,) = selection.select(PREDICTOR, [boxes[good]], [scores[good]], [SIZE])
    assert torch.equal(found.scores, expected.scores)
    assert rows.tolist() == [good[i] for i in expected_rows]


@pytest.mark.parametrize("use_soft_nms", [False, True])
@pytest.mark.parametrize("rows", [0, 5])
def test_nothing_detected(use_soft_nms: bool, rows: int) -> None:
    boxes, scores = outputs(rows)
    selection = BoxSelection(use_soft_nms=use_soft_nms, override_score_thresh=1.0)
    (found,), (kept,) = selection.select(PREDICTOR, [boxes], [scores], [SIZE])
    assert len(found) == len(kept) == 0
    assert found.pred_boxes.tensor.shape == (0, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "soft"}, "naive, linear, gaussian"),
        ({"method": "gaussian", "sigma": 0.0}, "sigma above 0"),
        ({"soft_nms_topk": -1}, "None for no limit"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BoxSelection(**options)
