"""The selection with a fixed number of detections is that of the detector for random candidates, also with ties."""

from types import SimpleNamespace

import pytest
import torch

from detectron2_ext.export.greedy_selection import GreedySelection
from detectron2_ext.modeling import BoxSelection

SIZE = (600, 900)
SETTINGS = {
    "hard": BoxSelection(),
    "linear": BoxSelection(use_soft_nms=True, method="linear"),
    "gaussian": BoxSelection(use_soft_nms=True, method="gaussian"),
    "naive": BoxSelection(use_soft_nms=True, method="naive", iou_threshold=0.6),
    "any score": BoxSelection(use_soft_nms=True, method="naive", min_score=0.0),
    "all dropped": BoxSelection(use_soft_nms=True, method="linear", min_score=2.0),
    "over classes": BoxSelection(use_soft_nms=True, method="linear", class_wise=False),
}


def candidates(num_regions: int, num_classes: int, per_class: bool = False, ties: bool = False):
    """Return boxes [1, R, K or 1, 4] in clusters, and scores [1, R, K + 1]."""
    generator = torch.Generator().manual_seed(num_regions)
    centers = torch.rand(1 + num_regions // 10, 2, generator=generator) * torch.tensor([850.0, 550.0])
    shape = (num_regions, num_classes if per_class else 1, 2)
    low = centers[torch.arange(num_regions) % len(centers)][:, None] + 15 * torch.rand(shape, generator=generator)
    high = torch.minimum(low + 20 + 40 * torch.rand(shape, generator=generator), torch.tensor([900.0, 600.0]))
    scores = torch.rand(num_regions, num_classes + 1, generator=generator) ** 4
    if ties:
        scores = (scores * 8).round() / 8
    return torch.cat([low, high], dim=2)[None], scores[None]


def select(settings: BoxSelection, boxes, scores, count: int):
    selected = GreedySelection(settings, 0.05, 0.5, count).select(
        boxes, scores[..., :-1], torch.ones(scores.shape[:2], dtype=torch.bool)
    )
    return [x[0] for x in selected]


def expect(settings: BoxSelection, boxes, scores, count: int):
    predictor = SimpleNamespace(test_score_thresh=0.05, test_nms_thresh=0.5, test_topk_per_image=count)
    (found,), _ = settings.select(predictor, [boxes[0].flatten(1)], [scores[0]], [SIZE])
    return found[:count]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("ties", [False, True])
def test_detections_are_those_of_the_detector(name, ties):
    for num_regions, num_classes, per_class in ((60, 5, False), (60, 5, True), (40, 1, False)):
        boxes, scores = candidates(num_regions, num_classes, per_class, ties)
        found, found_scores, classes, is_valid = select(SETTINGS[name], boxes, scores, 50)
        expected = expect(SETTINGS[name], boxes, scores, 50)
        assert is_valid.sum() == len(expected)
        assert classes[is_valid].tolist() == expected.pred_classes.tolist()
        assert torch.equal(found[is_valid], expected.pred_boxes.tensor)
        torch.testing.assert_close(found_scores[is_valid], expected.scores, rtol=0, atol=1e-7)


@pytest.mark.parametrize("num_regions", [12, 60])
def test_boxes_are_rounded_as_torchvision_rounds_them_for_its_classes(num_regions):
    # Up to 1000 candidates, it moves the boxes of class 300 by 300 times the size of the image, in float32.
    generator = torch.Generator().manual_seed(1)
    low = 200 + torch.randint(0, 3, (num_regions, 1, 2), generator=generator) / 3
    boxes = torch.cat([low, low + 1 + torch.rand(num_regions, 1, 2, generator=generator)], dim=2)[None]
    scores = torch.rand(1, num_regions, 301, generator=generator)
    found, _, classes, is_valid = select(BoxSelection(), boxes, scores, 400)
    expected = expect(BoxSelection(), boxes, scores, 400)
    assert classes[is_valid].tolist() == expected.pred_classes.tolist()
    assert torch.equal(found[is_valid], expected.pred_boxes.tensor)
