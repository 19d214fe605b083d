"""Targets, point sampling, matching and losses, with their edge cases."""

import math

import pytest
import torch
import torch.distributed as dist

from eva_backbone.errors import InputError
from eva_semseg import losses as losses_module
from eva_semseg.losses import SetCriterion
from eva_semseg.matcher import hungarian_match
from eva_semseg.point_sampling import sample_masks, uncertain_points
from eva_semseg.segmentation_targets import Target, check_labels, target_from_labels

NOTHING = Target(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 16, 16))


def drawn_prediction(batch, queries=6, classes=5):
    torch.manual_seed(0)
    return (
        torch.randn(batch, queries, classes + 1).requires_grad_(),
        (3 * torch.randn(batch, queries, 8, 8)).requires_grad_(),
    )


def two_halves():
    masks = torch.zeros(2, 16, 16)
    masks[0, :, :8], masks[1, :, 8:] = 1, 1
    return Target(torch.tensor([1, 3]), masks)


def test_target_from_labels():
    labels = torch.tensor([[4, 4, 255], [0, 255, 4]])
    target = target_from_labels(labels)
    assert target.classes.tolist() == [0, 4]
    assert target.masks.tolist() == [[[0, 0, 0], [1, 0, 0]], [[1, 1, 0], [0, 0, 1]]]
    empty = target_from_labels(torch.full((3, 2), 255))
    assert empty.classes.shape == (0,)
    assert empty.masks.shape == (0, 3, 2)


@pytest.mark.parametrize("value", [7, 254, -1, 256])
def test_label_outside_the_classes(value):
    check_labels(torch.tensor([0, 6, 255]), 7)
    with pytest.raises(InputError, match=rf"contain the value {value}, the model has classes 0 to 6"):
        check_labels(torch.tensor([0, value, 255]), 7)


def test_sampling_at_shared_and_own_points():
    torch.manual_seed(1)
    masks, points = torch.randn(3, 5, 7), torch.rand(11, 2)
    shared = sample_masks(masks, points)
    torch.testing.assert_close(sample_masks(masks, points.expand(3, -1, -1)), shared)
    centre = torch.tensor([[(2 + 0.5) / 7, (3 + 0.5) / 5]])
    torch.testing.assert_close(sample_masks(masks, centre)[:, 0], masks[:, 3, 2])


def test_uncertain_points_lie_at_the_outline():
    """Logits increase from -8 at the left to 8 at the right: three quarters of the points are near the middle."""
    torch.manual_seed(2)
    logits = torch.linspace(-8, 8, 32).expand(2, 32, 32)
    points = uncertain_points(logits, 200)
    assert points.shape == (2, 200, 2)
    distance = (points[..., 0] - 0.5).abs()
    # of 600 uniform candidates 150 are chosen: a quarter of the width, an eighth to each side
    assert distance[:, :150].max() < 0.18 < distance[:, 150:].max()


def test_matching_more_masks_than_queries():
    cost = torch.tensor([[3.0, 1.0, 2.0], [1.0, 5.0, 4.0]])
    (queries, masks), (no_queries, no_masks) = hungarian_match([cost, torch.zeros(4, 0)])
    assert [queries.tolist(), masks.tolist()] == [[0, 1], [1, 0]]
    assert len(no_queries) == len(no_masks) == 0


def test_nan_costs_end_in_a_nan_loss():
    classes, masks = drawn_prediction(1)
    found = SetCriterion(num_points=32)([(classes, masks * math.nan)], [two_halves()])
    assert found["loss_mask"].isnan()
    assert found["loss_cls"].isfinite()


@pytest.mark.parametrize("targets", [[NOTHING, NOTHING], [NOTHING, two_halves()], [two_halves(), NOTHING]])
def test_every_output_has_a_gradient(targets):
    """Even without any mask, because DDP waits for the gradient of every parameter."""
    levels = [drawn_prediction(2) for _ in range(3)]
    found = SetCriterion(num_points=32)(levels, targets)
    parts = ("loss_cls", "loss_mask", "loss_dice")
    assert set(found) == {f"{prefix}{part}" for prefix in ("d0.", "d1.", "") for part in parts}
    sum(found.values()).backward()
    anything = any(len(target.classes) for target in targets)
    for classes, masks in levels:
        assert classes.grad.isfinite().all()
        assert classes.grad.count_nonzero()
        assert masks.grad.isfinite().all()
        assert bool(masks.grad.count_nonzero()) == anything
    if not anything:
        assert found["loss_mask"] == found["loss_dice"] == 0


def test_divisor_counts_matched_masks():
    """Twelve masks for six queries: six masks are unmatched and do not count."""
    classes, masks = drawn_prediction(1)
    targets = [Target(torch.arange(12) % 5, (torch.rand(12, 16, 16) > 0.5).float())]
    torch.manual_seed(3)
    found = SetCriterion(num_points=64)([(classes, masks)], targets)
    assert 0 < found["loss_dice"] < 5  # the mean of six values below 1, times 5


def test_divisor_is_the_mean_over_processes(monkeypatch):
    """This process has two masks, another process has ten: both divide by six."""
    levels, targets = [drawn_prediction(1)], [two_halves()]
    torch.manual_seed(4)
    alone = SetCriterion(num_points=32)(levels, targets)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda total: total.add_(10))
    torch.manual_seed(4)
    together = SetCriterion(num_points=32)(levels, targets)
    for part in ("loss_mask", "loss_dice"):
        torch.testing.assert_close(together[part], alone[part] * 2 / 6)
    assert together["loss_cls"] == alone["loss_cls"]
    assert losses_module._mean_over_processes(0, torch.device("cpu")) == 5


def test_correct_predictions_have_the_lowest_losses():
    target = two_halves()
    masks = torch.full((1, 3, 16, 16), -30.0)
    masks[0, 2][target.masks[0] > 0] = 30
    masks[0, 0][target.masks[1] > 0] = 30
    classes = torch.full((1, 3, 6), -30.0)
    classes[0, 2, 1] = classes[0, 0, 3] = classes[0, 1, 5] = 30
    found = SetCriterion(num_points=256)([(classes, masks)], [target])
    assert found["loss_cls"] < 1e-6
    swapped = SetCriterion(num_points=256)([(classes.flip(1), masks)], [target])
    assert swapped["loss_cls"] > 10
    nowhere = SetCriterion(num_points=256)([(classes, torch.full_like(masks, -30))], [target])
    assert nowhere["loss_dice"] > 5 * found["loss_dice"]
    assert nowhere["loss_mask"] > 5 * found["loss_mask"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_half_precision_are_float32(dtype):
    classes, masks = (value.detach().to(dtype) for value in drawn_prediction(1))
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        found = SetCriterion(num_points=32)([(classes, masks)], [two_halves()])
    torch.manual_seed(5)
    expected = SetCriterion(num_points=32)([(classes.float(), masks.float())], [two_halves()])
    assert {value.dtype for value in found.values()} == {torch.float32}
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
