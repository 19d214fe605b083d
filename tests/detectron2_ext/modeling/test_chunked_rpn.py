"""Anchors are matched in chunks with exactly the results of Detectron2."""

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.structures import Boxes, Instances, pairwise_iou

from detectron2_ext.modeling import chunked_rpn
from detectron2_ext.modeling.chunked_rpn import ChunkedRPN, match_anchors


def random_boxes(number, seed, multiple=1.0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(number, 2, 2, generator=generator).mul(100).div(multiple).round().mul(multiple)
    corners = corners.sort(dim=1).values
    corners[:, 1] += multiple
    return Boxes(corners.flatten(1))


@pytest.mark.parametrize("low_quality", [True, False])
@pytest.mark.parametrize("num_objects", [0, 1, 30])
@pytest.mark.parametrize("multiple", [0.01, 10.0])  # of all coordinates; a large one makes ties
def test_same_matches_and_labels(low_quality, num_objects, multiple):
    matcher = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=low_quality)
    boxes, anchors = random_boxes(num_objects, 1, multiple), random_boxes(500, 2, multiple)
    expected = matcher(pairwise_iou(boxes, anchors))
    for max_pairs in (1, 70, 10**6):
        found = match_anchors(matcher, boxes, anchors, max_pairs)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
    assert matcher.allow_low_quality_matches == low_quality


@pytest.mark.parametrize("boundary", [-1, 0])
def test_same_samples_of_a_batch(boundary, monkeypatch):
    def build(network):
        return network(
            in_features=["p"],
            head=StandardRPNHead(in_channels=4, num_anchors=3),
            anchor_generator=DefaultAnchorGenerator(sizes=[[32]], aspect_ratios=[0.5, 1.0, 2.0], strides=[16]),
            anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
            box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
            batch_size_per_image=64,
            positive_fraction=0.5,
            pre_nms_topk=(10, 10),
            post_nms_topk=(10, 10),
            anchor_boundary_thresh=boundary,
        )

    monkeypatch.setattr(chunked_rpn, "match_anchors", lambda *args: match_anchors(*args, max_pairs=100))
    gt = [Instances((112, 112), gt_boxes=random_boxes(number, number)) for number in (0, 20)]
    anchors = build(RPN).anchor_generator([torch.zeros(2, 4, 7, 7)])
    samples = []
    for network in (RPN, ChunkedRPN):
        torch.manual_seed(0)
        samples.append(build(network).label_and_sample_anchors(anchors, gt))
    for expected, found in zip(*samples, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert (samples[0][0][1] == 1).any()
