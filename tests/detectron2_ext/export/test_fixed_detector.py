"""The detector with fixed sizes finds what the detector finds, in the same order; the weights are the same objects."""

import pytest
import torch
from detectron2.structures import Instances
from tiny_detectors import SPEC, pad, tiny_detector

from detectron2_ext.export.fixed_detector import FixedDetector
from detectron2_ext.prediction.limits import DetectionLimits
from eva_backbone.errors import InputError

LIMIT = SPEC["detector"]["test_topk_per_image"]
# Of 40 proposals and 4 classes, without a limit.
MANY = 160


@torch.inference_mode()
def both(model, images, num_detections: int, padding: float = 77.0) -> list[tuple[Instances, dict]]:
    """Return for each image what the model and its version with fixed sizes give; the padding must not matter."""
    expected = model.inference([{"image": image} for image in images], do_postprocess=False)
    detector = FixedDetector(model, num_detections).eval()
    outputs = dict(zip(detector.outputs, detector(*pad(images, padding)), strict=True))
    return [(item, {name: output[i] for name, output in outputs.items()}) for i, item in enumerate(expected)]


def assert_same(expected: Instances, outputs: dict) -> None:
    count = len(expected)
    assert outputs["is_valid"].tolist() == [True] * count + [False] * (len(outputs["is_valid"]) - count)
    assert outputs["classes"][:count].tolist() == expected.pred_classes.tolist()
    torch.testing.assert_close(outputs["boxes"][:count], expected.pred_boxes.tensor, rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs["scores"][:count], expected.scores, rtol=0, atol=1e-6)
    assert not outputs["boxes"][count:].any()
    assert not outputs["scores"][count:].any()
    assert expected.has("pred_masks") == ("masks" in outputs)
    if "masks" in outputs:
        torch.testing.assert_close(outputs["masks"][:count], expected.pred_masks[:, 0], rtol=0, atol=1e-5)
        assert not outputs["masks"][count:].any()
    assert expected.has("box_scores") == ("box_scores" in outputs)
    if "box_scores" in outputs:
        torch.testing.assert_close(outputs["box_scores"][:count], expected.box_scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "kind", "heads"),
    [
        ("eva01", "hard", "cascade"),
        ("eva02", "hard", "cascade"),
        ("timm", "hard", "cascade"),
        ("eva02", "sigmoid", "cascade"),
        ("eva01", "boxes", "cascade"),
        ("eva01", "hard", "standard"),
        ("timm", "loose", "cascade"),
    ],
)
def test_detections_and_their_order_are_those_of_the_detector(images, net, kind, heads):
    for expected, outputs in both(tiny_detector(net, kind, heads), images, LIMIT):
        assert len(expected) > 5
        assert_same(expected, outputs)


@pytest.mark.parametrize("kind", ["soft", "gaussian", "naive"])
def test_soft_nms_without_a_limit_has_all_detections_if_there_is_room_for_them(images, kind):
    for expected, outputs in both(tiny_detector("eva01", kind), images, MANY):
        assert 10 < len(expected) < MANY
        assert_same(expected, outputs)


@pytest.mark.parametrize("kind", ["soft", "gaussian", "naive"])
def test_with_more_candidates_than_room_the_first_ones_are_those_of_the_same_limit(images, kind):
    model = tiny_detector("eva02", kind)
    DetectionLimits(model).set_max_detections(7)
    for expected, outputs in both(model, images, 7):
        assert len(expected) == 7
        assert_same(expected, outputs)


def test_an_image_without_detections_has_no_valid_rows(images):
    for expected, outputs in both(tiny_detector("eva01", "strict"), images, LIMIT):
        assert len(expected) == 0
        assert_same(expected, outputs)


def test_proposals_are_full_if_all_of_them_are_objects(images):
    model = tiny_detector()
    limits = DetectionLimits(model)
    bias = model.proposal_generator.rpn_head.objectness_logits.bias
    for value, is_full in ((50.0, True), (-50.0, False)):
        torch.nn.init.constant_(bias, value)
        for index, (expected, outputs) in enumerate(both(model, images, LIMIT)):
            described = [text for text in limits.reached(expected, 1.0, index) if "proposals" in text]
            assert bool(outputs["proposals_are_full"]) == is_full == bool(described)


def test_regions_that_are_not_finite_are_left_out(images):
    model = tiny_detector()
    with torch.no_grad():
        model.roi_heads.box_predictor[-1].cls_score.bias[1] = torch.nan
    for expected, outputs in both(model, images, LIMIT):
        assert len(expected) == 0
        assert_same(expected, outputs)


def test_the_weights_are_those_of_the_model():
    model = tiny_detector()
    own = {id(parameter) for parameter in model.parameters()}
    assert all(id(parameter) in own for parameter in FixedDetector(model, LIMIT).parameters())


def test_parts_that_are_not_supported_are_refused():
    model = tiny_detector()
    model.roi_heads.mask_head = torch.nn.Sequential(torch.nn.Conv2d(16, 4, 1))
    with pytest.raises(InputError, match="Sequential cannot be exported; use Detectron2's MaskRCNNConvUpsampleHead"):
        FixedDetector(model, LIMIT)
    model = tiny_detector()
    model.proposal_generator = torch.nn.Identity()
    with pytest.raises(InputError, match="Identity cannot be exported; use Detectron2's RPN"):
        FixedDetector(model, LIMIT)
    model = tiny_detector()
    model.roi_heads = torch.nn.Identity()
    with pytest.raises(InputError, match="Identity cannot be exported; use StandardROIHeads"):
        FixedDetector(model, LIMIT)
