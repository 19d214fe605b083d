"""Scores times maskness, and the resulting order."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from detectron2_ext.modeling import rescore_by_maskness


def detections(mask_values: list[list[float]], scores: list[float]) -> Instances:
    count = len(scores)
    return Instances(
        (10, 10),
        pred_masks=torch.tensor(mask_values).view(count, 1, 2, 2),
        scores=torch.tensor(scores),
        pred_classes=torch.arange(count),
        pred_boxes=Boxes(torch.arange(count * 4).view(count, 4).float()),
    )


def test_mean_above_threshold_and_order_of_every_field() -> None:
    before = detections([[0.6, 0.8, 0.1, 0.5], [0.5, 0.5, 0.2, 0.1], [0.9, 0.9, 0.9, 0.9]], [0.9, 0.8, 0.75])
    after = rescore_by_maskness(before, 0.5)
    # 0.5 is not above 0.5; a mask with nothing above the threshold scores 0.
    assert after.scores.tolist() == pytest.approx([0.75 * 0.9, 0.9 * 0.7, 0.0])
    assert after.pred_classes.tolist() == [2, 0, 1]
    assert torch.equal(after.pred_boxes.tensor, before.pred_boxes.tensor[[2, 0, 1]])
    assert torch.equal(after.pred_masks, before.pred_masks[[2, 0, 1]])
    assert before.scores.tolist() == pytest.approx([0.9, 0.8, 0.75])


def test_no_detections() -> None:
    empty = Instances((10, 10), pred_masks=torch.zeros(0, 1, 28, 28), scores=torch.zeros(0))
    assert len(rescore_by_maskness(empty, 0.5)) == 0
