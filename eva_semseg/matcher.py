"""Hungarian matching: assigns the masks of an image to queries at the lowest total cost."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .point_sampling import random_points, sample_masks
from .segmentation_targets import Target

WORST_COST = 1e6


@dataclass(frozen=True)
class MatchCost:
    """The costs of assigning mask j of an image to query i, [Q, N] each; lower is better."""

    classes: Tensor
    masks: Tensor
    dice: Tensor

    def total(self) -> Tensor:
        """Return the sum of the three costs, [Q, N]."""
        return self.classes + self.masks + self.dice


@torch.no_grad()
def match_cost(
    class_logits: Tensor,
    mask_logits: Tensor,
    target: Target,
    *,
    num_points: int,
    class_weight: float,
    mask_weight: float,
    dice_weight: float,
) -> MatchCost:
    """Compute the matching costs of one image in float32.

    Masks are compared at random points, the same for all queries and targets. Uniform points, not uncertain ones as in
    the loss: costs can only be compared with each other if they are measured at the same points.

    Args:
        class_logits: [Q, K + 1].
        mask_logits: [Q, h, w].
        target: Classes and masks of the image; may be empty.
        num_points: Number of points.
        class_weight, mask_weight, dice_weight: Factors of the three costs.
    """
    points = random_points(1, num_points, mask_logits.device)[0]
    predicted = sample_masks(mask_logits.float(), points)
    wanted = sample_masks(target.masks, points)
    # The probability itself, not its logarithm as in the loss: this keeps the cost of a class in the range of the
    # other costs.
    classes = -class_logits.float().softmax(-1)[:, target.classes]
    # Binary cross entropy of logit x and target t is softplus(x) - x * t. Written so, all Q * N pairs are one matrix
    # product, and no tensor [Q, N, points] is needed.
    softplus = F.softplus(predicted)
    masks = (softplus.sum(1)[:, None] - predicted @ wanted.T) / num_points
    probabilities = predicted.sigmoid()
    # The added 1 in numerator and denominator gives two empty masks a cost of 0 instead of 0 / 0.
    dice = 1 - (2 * probabilities @ wanted.T + 1) / (probabilities.sum(1)[:, None] + wanted.sum(1) + 1)
    return MatchCost(class_weight * classes, mask_weight * masks, dice_weight * dice)


def hungarian_match(costs: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Match queries with masks for the cost matrices [Q, N] of any number of images.

    All costs are copied to the CPU in one transfer, so the device is waited for only once. Non-finite costs count as
    very large (-inf as very small), so that a step that diverged ends in a NaN loss instead of an error of the solver.

    Returns:
        For each matrix, indices of the queries in ascending order and of the masks assigned to them: int64
        [min(Q, N)] on the device of the costs.
    """
    if not costs:
        return []
    device = costs[0].device
    flat = torch.cat([cost.flatten() for cost in costs])
    flat = flat.nan_to_num(nan=WORST_COST, posinf=WORST_COST, neginf=-WORST_COST).cpu()
    pairs = []
    for cost, values in zip(costs, flat.split([cost.numel() for cost in costs]), strict=True):
        queries, masks = linear_sum_assignment(values.view(cost.shape).numpy())
        pairs.append((torch.from_numpy(queries).to(device), torch.from_numpy(masks).to(device)))
    return pairs
