"""The box predictor: federated loss, logged accuracy, soft-NMS outside the cascade."""

import pickle
from functools import partial

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import fast_rcnn
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from test_soft_nms import random_boxes

from detectron2_ext.modeling import FastRCNNOutputLayers, batched_soft_nms, lvis_v1_federated_weights

NUM_CLASSES = 6


def build(cls=FastRCNNOutputLayers, **options) -> fast_rcnn.FastRCNNOutputLayers:
    transform = Box2BoxTransform(weights=(10, 10, 5, 5))
    return cls(ShapeSpec(channels=8), box2box_transform=transform, num_classes=NUM_CLASSES, **options)


def make_proposals(gt_classes: list[int]) -> Instances:
    boxes = random_boxes(len(gt_classes))
    gt_boxes = random_boxes(len(gt_classes))
    return Instances(
        (120, 120), proposal_boxes=Boxes(boxes), gt_boxes=Boxes(gt_boxes), gt_classes=torch.tensor(gt_classes).long()
    )


def losses_of(predictor, logits: torch.Tensor, gt_classes: list[int]) -> dict[str, torch.Tensor]:
    with EventStorage() as storage:
        losses = predictor.losses((logits, torch.zeros(len(gt_classes), 4 * NUM_CLASSES)), [make_proposals(gt_classes)])
    return losses | {name: value for name, (value, _) in storage.latest().items()}


@pytest.mark.parametrize("options", [{}, {"use_sigmoid_ce": True}])
def test_loss_equals_detectron2s(options: dict) -> None:
    logits, labels = torch.randn(5, NUM_CLASSES + 1), [0, 6, 3, 3, 6]
    ours, stock = build(**options), build(fast_rcnn.FastRCNNOutputLayers, **options)
    assert torch.equal(losses_of(ours, logits, labels)["loss_cls"], losses_of(stock, logits, labels)["loss_cls"])


@pytest.mark.parametrize(
    ("labels", "weights", "count", "kept"),
    [
        ([0, 2, 6], [1, 1, 1, 1, 1, 1], 2, {0, 2}),  # enough present (the background counts): none drawn
        ([0, 2, 6], [1, 0, 1, 3, 0, 2], 5, {0, 2, 3, 5}),  # exactly the weighted ones drawn
        ([0, 2, 6], [1, 0, 1, 3, 0, 0], 50, {0, 2, 3}),  # fewer to draw than asked for
        ([0, 0], [1, 0, 0, 0, 0, 0], 50, {0}),  # none to draw
        ([6, 6], [0, 1, 1, 0, 0, 0], 3, {1, 2}),  # background only
    ],
)
def test_federated_loss_counts_kept_classes(
    labels: list[int], weights: list[float], count: int, kept: set[int]
) -> None:
    predictor = build(
        use_sigmoid_ce=True,
        use_fed_loss=True,
        fed_loss_num_classes=count,
        get_fed_loss_cls_weights=torch.tensor(weights).float(),
    )
    logits = torch.randn(len(labels), NUM_CLASSES + 1, requires_grad=True)
    losses_of(predictor, logits, labels)["loss_cls"].backward()
    assert set(logits.grad.abs().sum(dim=0).nonzero()[:, 0].tolist()) == kept


def test_federated_loss_samples_the_requested_number_of_classes() -> None:
    predictor = build(use_sigmoid_ce=True, use_fed_loss=True, get_fed_loss_cls_weights=lambda: torch.ones(NUM_CLASSES))
    for _ in range(10):
        kept = predictor.get_fed_loss_classes(torch.tensor([1, 6]), 4, NUM_CLASSES, torch.ones(NUM_CLASSES))
        assert len(kept) == len(set(kept.tolist())) == 4
        assert {1, 6} <= set(kept.tolist())


def test_lvis_weights() -> None:
    weights = lvis_v1_federated_weights()
    assert weights.shape == (1203,)
    assert weights.sum().item() == pytest.approx(14056.914, abs=1e-2)
    assert weights[:3].tolist() == pytest.approx([8.0, 19.078785, 43.714985])
    assert torch.equal(pickle.loads(pickle.dumps(partial(lvis_v1_federated_weights, power=0.5)))(), weights)


def test_sigmoid_accuracy_ignores_background_column() -> None:
    logits = torch.full((4, NUM_CLASSES + 1), -3.0)
    logits[0, 2] = logits[1, 4] = 2.0
    logits[:, -1] = 9.0  # untrained
    logged = losses_of(build(use_sigmoid_ce=True), logits, [2, 1, 3, 6])
    assert logged["fast_rcnn/cls_accuracy"] == 0.5  # the class 2, and the background
    assert logged["fast_rcnn/fg_cls_accuracy"] == pytest.approx(1 / 3)
    assert logged["fast_rcnn/false_negative"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("options", [{}, {"use_sigmoid_ce": True}])
def test_no_regions_keep_the_graph(options: dict) -> None:
    predictor = build(**options)
    predictions = predictor(torch.zeros(0, 8))
    with EventStorage():
        sum(predictor.losses(predictions, [make_proposals([])]).values()).backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in predictor.parameters())


def test_soft_nms_outside_the_cascade() -> None:
    predictor = build(use_soft_nms=True, method="gaussian", override_score_thresh=0.0, cls_agnostic_bbox_reg=True)
    predictions, proposals = (torch.randn(9, NUM_CLASSES + 1), torch.zeros(9, 4)), make_proposals([0] * 9)
    (found,), _ = predictor.inference(predictions, [proposals])
    scores = predictions[0].softmax(dim=1)[:, :-1]
    boxes = proposals.proposal_boxes.tensor.repeat_interleave(NUM_CLASSES, dim=0)
    _, decayed = batched_soft_nms(boxes, scores.flatten(), torch.arange(NUM_CLASSES).repeat(9), method="gaussian")
    torch.testing.assert_close(found.scores, decayed)


def test_probabilities_are_float32() -> None:
    logits = torch.randn(3, NUM_CLASSES + 1, dtype=torch.bfloat16)
    (probabilities,) = build(use_sigmoid_ce=True).predict_probs((logits, None), [make_proposals([0] * 3)])
    assert probabilities.dtype == torch.float32
