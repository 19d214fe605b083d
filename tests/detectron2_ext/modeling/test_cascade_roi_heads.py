"""The cascade heads in a small detector: equality with Detectron2, maskness, box-only models, missing masks."""

import pytest
import torch
from detectron2.modeling.roi_heads import cascade_rcnn
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage

from detectron2_ext.modeling import BoxSelection, cascade_roi_heads
from eva_backbone.errors import InputError


def detect(model, *images: torch.Tensor) -> list[Instances]:
    with torch.no_grad():
        return [x["instances"] for x in model([{"image": image} for image in images])]


def assert_same(a: Instances, b: Instances) -> None:
    assert len(a) == len(b) > 0
    torch.testing.assert_close(a.scores, b.scores)
    assert torch.equal(a.pred_classes, b.pred_classes)
    torch.testing.assert_close(a.pred_boxes.tensor, b.pred_boxes.tensor)
    if a.has("pred_masks"):
        assert torch.equal(a.pred_masks, b.pred_masks)


@pytest.mark.parametrize("masks", [True, False])
def test_without_options_equal_to_detectron2(make_detector, image: torch.Tensor, masks: bool) -> None:
    model = make_detector(masks)
    images = image, image.flip(2)
    ours = detect(model, *images)
    model.roi_heads.__class__ = cascade_rcnn.CascadeROIHeads
    for a, b in zip(ours, detect(model, *images), strict=True):
        assert_same(a, b)
        assert a.has("pred_masks") == masks


def test_masks_of_many_boxes_are_the_same_in_chunks(make_detector, image: torch.Tensor, monkeypatch) -> None:
    model = make_detector(use_soft_nms=True, override_score_thresh=0.0)
    images = image, image.flip(1)
    unchunked = detect(model, *images)
    assert len(unchunked[0]) > 14
    monkeypatch.setattr(cascade_roi_heads, "_MASK_CHUNK_SIZE", 7)
    for a, b in zip(unchunked, detect(model, *images), strict=True):
        assert_same(a, b)


def test_maskness_rescores_and_sorts_both_paths(make_detector, image: torch.Tensor) -> None:
    model = make_detector(use_soft_nms=True, override_score_thresh=0.0)
    record = [{"image": image}]
    with torch.no_grad():
        plain = model.inference(record, do_postprocess=False)[0]
        model.roi_heads.maskness_thresh = 0.5
        rescored = model.inference(record, do_postprocess=False)[0]
        given = Instances(plain.image_size, **{k: v for k, v in plain.get_fields().items() if k != "pred_masks"})
        from_given = model.inference(record, [given], do_postprocess=False)[0]
        without_scores = Instances(plain.image_size, pred_boxes=plain.pred_boxes, pred_classes=plain.pred_classes)
        masks_only = model.inference(record, [without_scores], do_postprocess=False)[0]
    masks = plain.pred_masks.flatten(1)
    expected = plain.scores * torch.stack([m[m > 0.5].mean() if (m > 0.5).any() else m.new_zeros(()) for m in masks])
    order = expected.argsort(descending=True, stable=True)
    assert order.tolist() != list(range(len(order)))
    for result in (rescored, from_given):
        torch.testing.assert_close(result.scores, expected[order])
        torch.testing.assert_close(result.pred_masks, plain.pred_masks[order])
        torch.testing.assert_close(result.pred_boxes.tensor, plain.pred_boxes.tensor[order])
    torch.testing.assert_close(masks_only.pred_masks, plain.pred_masks)


def test_boxes_only_with_maskness_is_refused(make_detector) -> None:
    with pytest.raises(InputError, match=r"model\.roi_heads\.maskness_thresh=None"):
        make_detector(masks=False, maskness_thresh=0.5)


def test_options_of_a_stage_are_refused(make_detector) -> None:
    heads = make_detector(masks=False).roi_heads
    heads.box_predictor[1].box_selection = BoxSelection(method="gaussian")
    with pytest.raises(InputError, match=r"set them as model\.roi_heads\.use_soft_nms"):
        cascade_roi_heads.CascadeROIHeads(
            box_in_features=heads.box_in_features,
            box_pooler=heads.box_pooler,
            box_heads=list(heads.box_head),
            box_predictors=list(heads.box_predictor),
            proposal_matchers=heads.proposal_matchers,
            num_classes=heads.num_classes,
            batch_size_per_image=heads.batch_size_per_image,
            positive_fraction=heads.positive_fraction,
        )


def test_mask_features_without_head_are_refused() -> None:
    with pytest.raises(InputError, match="set both, or set both to None"):
        cascade_roi_heads.CascadeROIHeads(mask_in_features=["p2"], mask_head=None)


@pytest.mark.parametrize("maskness_thresh", [None, 0.5])
@pytest.mark.parametrize("use_soft_nms", [False, True])
def test_nothing_detected(
    make_detector, image: torch.Tensor, use_soft_nms: bool, maskness_thresh: float | None
) -> None:
    model = make_detector(use_soft_nms=use_soft_nms, maskness_thresh=maskness_thresh, override_score_thresh=1.0)
    (found,) = detect(model, image)
    assert len(found) == 0
    assert found.pred_masks.shape == (0, 48, 64)


@pytest.mark.parametrize("federated", [False, True])
@pytest.mark.parametrize(
    ("counts", "masks", "mask_loss"),
    [
        ((2, 0), (True, False), True),  # an image without objects, whose mapper made no gt_masks
        ((0, 2), (False, True), True),
        ((0, 0), (False, False), False),
        ((2, 2), (False, True), True),  # objects without masks beside objects with masks
        ((2, 1), (False, False), False),
    ],
)
def test_training_without_objects_or_masks(
    make_detector, image: torch.Tensor, make_targets, counts, masks, mask_loss: bool, federated: bool
) -> None:
    model = make_detector(**({"fed_loss": {"num_classes": 3, "weights": [1.0] * 4}} if federated else {})).train()
    batch = [{"image": image, "instances": make_targets(*of_image)} for of_image in zip(counts, masks, strict=True)]
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert (losses["loss_mask"].item() > 0) == mask_loss
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
