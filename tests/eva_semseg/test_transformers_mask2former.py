"""Our head compared with transformers' modules with the same weights: predictions, gradients and losses."""

import pytest
import torch
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss
from transformers_head import TransformersHead, drawn_features

from eva_semseg.head import Mask2FormerHead
from eva_semseg.losses import SetCriterion
from eva_semseg.segmentation_targets import Target

OPTIONS = {
    "dim": 64,
    "hidden": 96,
    "num_heads": 4,
    "num_queries": 10,
    "encoder_layers": 2,
    "decoder_layers": 4,
}
CLASSES, CHANNELS, POINTS = 7, 40, 64


@pytest.fixture(scope="module")
def heads():
    torch.manual_seed(3)
    ours = Mask2FormerHead(CLASSES, CHANNELS, **OPTIONS)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return ours, TransformersHead(ours, CHANNELS, **OPTIONS)


@pytest.mark.parametrize("batch", [1, 2])
def test_predictions_and_gradients(heads, batch):
    ours, theirs = heads
    torch.manual_seed(batch)
    features = {name: value.requires_grad_() for name, value in drawn_features(batch, CHANNELS, 64).items()}
    found, expected = ours(features), theirs(features)
    for mine, their in zip(found, expected, strict=True):
        for a, b in zip(mine, their, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=2e-6 * float(b.abs().max()))
    weights = [torch.randn_like(value) for level in expected for value in level]
    gradients = []
    for predictions in (found, expected):
        values = [value for level in predictions for value in level]
        total = sum((value * weight).sum() for value, weight in zip(values, weights, strict=True))
        gradients.append(torch.autograd.grad(total, list(features.values())))
    for mine, their in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, their, rtol=0, atol=1e-5 * float(their.abs().max()))


def test_last_prediction_alone(heads):
    ours, _ = heads
    torch.manual_seed(4)
    with torch.no_grad():
        features = drawn_features(2, CHANNELS, 64)
        for alone, last in zip(ours.predict(features), ours(features)[-1], strict=True):
            torch.testing.assert_close(alone, last, rtol=0, atol=1e-5 * float(last.abs().max()))


@pytest.mark.parametrize("counts", [[3, 5], [4, 0], [0, 2], [10, 1]])
def test_losses(heads, counts):
    torch.manual_seed(5)
    classes, masks = torch.randn(2, 10, CLASSES + 1), 2 * torch.randn(2, 10, 12, 16)
    targets = [Target(torch.randint(CLASSES, (n,)), (torch.rand(n, 48, 64) > 0.5).float()) for n in counts]
    config = heads[1].config
    config.train_num_points = POINTS
    theirs = Mask2FormerLoss(config, {})
    torch.manual_seed(6)
    expected = theirs(masks, classes, [t.masks for t in targets], [t.classes for t in targets])
    torch.manual_seed(6)
    found = SetCriterion(num_points=POINTS)([(classes, masks)], targets)
    for ours, their, weight in [("cls", "cross_entropy", 2), ("mask", "mask", 5), ("dice", "dice", 5)]:
        torch.testing.assert_close(found[f"loss_{ours}"], weight * expected[f"loss_{their}"], rtol=3e-6, atol=0)
