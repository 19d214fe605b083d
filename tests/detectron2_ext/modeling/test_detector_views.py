"""Test-time augmentation: the unchanged image gives the model's own detections; boxes and masks follow the views."""

import copy

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, Res5ROIHeads, StandardROIHeads
from detectron2.structures import Boxes, Instances
from golden.detector import LEVELS, build_pooler

from detectron2_ext.modeling import FastRCNNOutputLayers
from detectron2_ext.modeling.test_time_augmentation import TestTimeAugmentation, score_agreement
from eva_backbone.errors import InputError

RESIZE = T.ResizeShortestEdge(60, max_size=60)  # the photo of 40 x 50 pixels becomes one of 48 x 60


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def resized(photo, height, width):
    pixels = T.ResizeTransform(*photo.shape[:2], height, width).apply_image(photo)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


@torch.no_grad()
def plain(model, photo, height=48, width=60):
    return model.inference([{"image": resized(photo, height, width)}], do_postprocess=False)[0]


@torch.no_grad()
def augmented(model, photo, *scales, mirror=False):
    augmentation = TestTimeAugmentation(scales, mirror)
    return augmentation.detect(model, augmentation.views(photo, RESIZE))


def use_standard_heads(model):
    """Replace the cascade by one stage with a box for each class."""
    head = FastRCNNConvFCHead(ShapeSpec(channels=16, width=7, height=7), conv_dims=[], fc_dims=[32])
    model.roi_heads = StandardROIHeads(
        num_classes=4,
        batch_size_per_image=32,
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=LEVELS,
        box_pooler=build_pooler(7),
        box_head=head,
        box_predictor=FastRCNNOutputLayers(
            head.output_shape,
            box2box_transform=Box2BoxTransform((10, 10, 5, 5)),
            num_classes=4,
            test_score_thresh=0.05,
        ),
        mask_in_features=model.roi_heads.mask_in_features,
        mask_pooler=model.roi_heads.mask_pooler,
        mask_head=model.roi_heads.mask_head,
    )
    return model.eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"masks": False},
        {"use_soft_nms": True, "method": "linear"},
        {"maskness_thresh": 0.5},
        {"standard_heads": True},
    ],
    ids=str,
)
def test_the_unchanged_image_gives_the_detections_of_the_model(make_detector, photo, options):
    has_standard_heads = options.pop("standard_heads", False)
    model = make_detector(**options)
    if has_standard_heads:
        use_standard_heads(model)
    expected, found = plain(model, photo), augmented(model, photo, 1.0)
    assert len(found) == len(expected) > 3
    assert found.image_size == expected.image_size
    assert found.get_fields().keys() == expected.get_fields().keys()
    assert torch.equal(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    for name in set(found.get_fields()) - {"pred_boxes"}:
        assert torch.equal(found.get(name), expected.get(name)), name


@pytest.mark.parametrize("scale", [0.5, 2])
def test_one_view_of_another_size(make_detector, photo, scale):
    model, size = make_detector(), (round(48 * scale), round(60 * scale))
    # The view of 96 x 120 pixels does not fit in the square of 64 pixels of the model; 128 is the next multiple of 32.
    same = copy.deepcopy(model)
    same.backbone._square_pad = 64 if scale < 1 else 128
    expected, found = plain(same, photo, *size), augmented(model, photo, scale)
    assert found.image_size == (48, 60)
    assert len(found) == len(expected) > 3
    torch.testing.assert_close(found.pred_boxes.tensor * scale, expected.pred_boxes.tensor)
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.pred_masks, expected.pred_masks)


def test_the_mirrored_photo_gives_the_mirrored_detections(make_detector, photo):
    model = make_detector()
    found, mirrored = (augmented(model, pixels, 1, 0.75, mirror=True) for pixels in (photo, photo[:, ::-1]))
    assert len(found) == len(mirrored) > 3
    x0, y0, x1, y1 = mirrored.pred_boxes.tensor.unbind(1)
    boxes = torch.stack([60 - x1, y0, 60 - x0, y1], dim=1)
    torch.testing.assert_close(boxes, found.pred_boxes.tensor, atol=1e-3, rtol=0)
    torch.testing.assert_close(mirrored.scores, found.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(mirrored.pred_masks.flip(3), found.pred_masks, atol=1e-4, rtol=0)


@pytest.mark.parametrize("is_class_agnostic", [True, False])
def test_the_score_is_the_mean_over_the_views(is_class_agnostic):
    detections = Instances((40, 40))
    detections.pred_boxes = Boxes(torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 40]]))
    detections.pred_classes = torch.tensor([0, 1])
    # The last region of the first view extends beyond the image; within the image it is the second detection.
    boxes = [
        torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 60]]),
        torch.tensor([[1.0, 0, 10, 10], [0, 0, 4, 4]]),
    ]
    scores = [
        torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.8, 0], [0.1, 0.6, 0.3]]),
        torch.tensor([[0.4, 0.0, 0.6], [0.9, 0.1, 0]]),
    ]
    if not is_class_agnostic:
        boxes = [view.repeat(1, 2) for view in boxes]
    agreement = score_agreement(detections, boxes, scores)
    # (0.8 + 0.4) / 2 / 0.8; the second view has no region at the second detection.
    torch.testing.assert_close(agreement, torch.tensor([0.75, 0.5]))


def test_unusable_scales_and_heads(make_detector, photo):
    for scales in ((), (1, 0)):
        with pytest.raises(InputError, match="scales"):
            TestTimeAugmentation(scales)
    model = make_detector()
    model.roi_heads.__class__ = Res5ROIHeads
    with pytest.raises(InputError, match="not Res5ROIHeads"):
        augmented(model, photo, 1)
