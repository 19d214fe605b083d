"""Soft-NMS, the per-image selection of detections, and the losses of the box head."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from detectron2_ext.modeling import BoxSelection, FastRCNNOutputLayers, soft_nms

from ..case import GoldenCase, family


@family("soft_nms")
def check_soft_nms(case: GoldenCase) -> None:
    boxes, scores = case.tensor("boxes"), case.tensor("scores")
    for method, iou_threshold, sigma, min_score in case.spec["combos"]:
        keep, decayed = soft_nms(
            boxes, scores, method=method, iou_threshold=iou_threshold, sigma=sigma, min_score=min_score
        )
        name = f"{method}_{iou_threshold}_{sigma}_{min_score}"
        np.testing.assert_array_equal(keep, case.arrays[f"keep_{name}"], err_msg=name)
        np.testing.assert_allclose(decayed, case.arrays[f"kept_scores_{name}"], rtol=0, atol=1e-6, err_msg=name)
    for settings in case.spec["per_image"]:
        check_selection(case, settings, settings["prefix"], use_soft_nms=True)
    if "hard_scores" in case.arrays:
        check_selection(case, case.spec["per_image"][0], "hard", use_soft_nms=False)


def check_selection(case: GoldenCase, settings: dict[str, Any], prefix: str, use_soft_nms: bool) -> None:
    predictor = SimpleNamespace(
        test_score_thresh=settings["score_thresh"],
        test_nms_thresh=settings["nms_thresh"],
        test_topk_per_image=settings["topk"],
    )
    selection = BoxSelection(
        use_soft_nms=use_soft_nms,
        method=settings["method"],
        iou_threshold=settings["iou_threshold"],
        sigma=settings["sigma"],
        override_score_thresh=settings["override_score_thresh"] if use_soft_nms else None,
        **({"min_score": settings["min_score"]} if "min_score" in settings else {}),
    )
    found, rows = selection.select(
        predictor, [case.tensor("pi_boxes")], [case.tensor("pi_probs")], [tuple(settings["image_hw"])]
    )
    found, rows = found[0], rows[0]
    expected = {key: case.arrays[f"{prefix}_{key}"] for key in ("boxes", "scores", "classes", "rows")}
    # The reference divides by zero for two boxes without area, even of different classes, so that "gaussian" turns the
    # score of the later one into NaN. Ours keeps that score; it does not affect any other box.
    is_number = ~np.isnan(expected["scores"])
    sides = expected["boxes"][~is_number, 2:] - expected["boxes"][~is_number, :2]
    assert settings["method"] == "gaussian" or is_number.all()
    assert np.all(sides.min(axis=1) == 0)
    odd = set(zip(expected["rows"][~is_number], expected["classes"][~is_number], strict=True))
    same = [i for i, pair in enumerate(zip(rows.tolist(), found.pred_classes.tolist(), strict=True)) if pair not in odd]
    assert torch.isfinite(found.scores).all()
    np.testing.assert_array_equal(rows[same], expected["rows"][is_number])
    np.testing.assert_array_equal(found.pred_classes[same], expected["classes"][is_number])
    np.testing.assert_allclose(found.scores[same], expected["scores"][is_number], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.pred_boxes.tensor[same], expected["boxes"][is_number], rtol=0, atol=1e-4)


@family("box head losses")
def check_box_losses(case: GoldenCase) -> None:
    few = 2  # number of classes requested in `sigmoid_fed_few`, fewer than labels present
    variants = {
        "softmax": {},
        "sigmoid": {"use_sigmoid_ce": True},
        "sigmoid_fed": {"fed_loss_num_classes": case.spec["fed_loss_num_classes"]},
        "sigmoid_fed_few": {"fed_loss_num_classes": few},
    }
    proposals = Instances((1000, 1000))
    proposals.proposal_boxes = Boxes(case.tensor("proposals"))
    proposals.gt_boxes = Boxes(case.tensor("gt_boxes"))
    proposals.gt_classes = case.tensor("gt_classes")
    transform = Box2BoxTransform(weights=tuple(case.spec["box_weights"]))
    for name, options in variants.items():
        if "fed_loss_num_classes" in options:
            options |= {
                "use_sigmoid_ce": True,
                "use_fed_loss": True,
                "get_fed_loss_cls_weights": lambda: case.tensor("fed_weights"),
            }
        predictor = FastRCNNOutputLayers(
            ShapeSpec(channels=1),
            box2box_transform=transform,
            num_classes=case.spec["num_classes"],
            cls_agnostic_bbox_reg=True,
            **options,
        )
        logits, deltas = case.tensor("logits").requires_grad_(), case.tensor("deltas").requires_grad_()
        with EventStorage():
            losses = predictor.losses((logits, deltas), [proposals])
        for key, value in losses.items():
            np.testing.assert_allclose(value.item(), case.arrays[f"{name}_{key}"], rtol=1e-5, err_msg=f"{name} {key}")
        sum(losses.values()).backward()
        np.testing.assert_allclose(logits.grad, case.arrays[f"{name}_dlogits"], rtol=1e-4, atol=1e-7, err_msg=name)
        np.testing.assert_allclose(deltas.grad, case.arrays[f"{name}_ddeltas"], rtol=1e-4, atol=1e-7, err_msg=name)
    decoded = transform.apply_deltas(case.tensor("deltas") * 30, case.tensor("proposals"))
    np.testing.assert_allclose(decoded, case.arrays["decoded_boxes_from_30x_deltas"], rtol=1e-5)
