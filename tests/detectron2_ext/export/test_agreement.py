"""Detections of two models are matched by class and box, each once."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from detectron2_ext.export.agreement import BOX, MASK, SCORE, compare_detections


def detections(boxes, scores, classes, masks=None) -> Instances:
    found = Instances((100, 100), pred_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)), scores=torch.tensor(scores))
    found.pred_classes = torch.tensor(classes, dtype=torch.int64)
    if masks is not None:
        found.probabilities = torch.full((len(found), 2, 2), masks)
    return found


def test_the_largest_differences_are_those_of_matched_detections():
    first = detections([[0.0, 0, 50, 50], [10.0, 10, 60, 60], [0.0, 0, 9, 9]], [0.9, 0.8, 0.7], [1, 1, 2], masks=0.2)
    # In another order, one moved by half a pixel, and the last one of another class.
    second = detections([[10.5, 10, 60, 60], [0.0, 0, 50, 50], [0.0, 0, 9, 9]], [0.75, 0.9, 0.7], [1, 1, 0], masks=0.3)
    agreement = compare_detections(first, second)
    assert (agreement.num_matched, agreement.num_findings) == (2, 3)
    assert agreement.differences == {BOX: 0.5, SCORE: pytest.approx(0.05), MASK: pytest.approx(0.1)}


def test_each_detection_is_matched_once():
    twice = detections([[0.0, 0, 50, 50], [0.0, 0, 50, 51]], [0.9, 0.8], [0, 0])
    once = detections([[0.0, 0, 50, 50]], [0.9], [0])
    for pair in ((twice, once), (once, twice)):
        agreement = compare_detections(*pair)
        assert (agreement.num_matched, agreement.num_findings) == (1, 2)


def test_nothing_agrees_with_nothing():
    nothing = detections([], [], [])
    assert compare_detections(nothing, nothing).matched == 1
    assert compare_detections(nothing, detections([[0.0, 0, 1, 1]], [0.5], [0])).matched == 0
