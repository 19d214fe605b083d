"""Which query is to predict which mask of an image: the assignment of least cost."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .point_sampling import random_points, sample_masks
from .segmentation_targets import Target


@dataclass(frozen=True)
class MatchCost:
    """The costs of giving mask j of an image to query i, [Q, N] each; lower is better."""

    classes: Tensor
    masks: Tensor
    dice: Tensor

    def total(self) -> Tensor:
        """Their sum, of the same shape."""
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
    """Costs of one image: of its class, and of its mask on points that all queries and targets share, in float32.

    Args:
        class_logits: [Q, K + 1].
        mask_logits: [Q, h, w].
        target: what is in the image; may be nothing.
        num_points: how many points.
        class_weight, mask_weight, dice_weight: factors of the three costs.
    """
    points = random_points(1, num_points, mask_logits.device)[0]
    predicted = sample_masks(mask_logits.float(), points)
    wanted = sample_masks(target.masks, points)
    classes = -class_logits.float().softmax(-1)[:, target.classes]
    outside = F.softplus(predicted)  # cross entropy where the target is 0; where it is 1, this less the logit
    masks = (outside.sum(1)[:, None] - predicted @ wanted.T) / num_points
    shares = predicted.sigmoid()
    dice = 1 - (2 * shares @ wanted.T + 1) / (shares.sum(1)[:, None] + wanted.sum(1) + 1)
    return MatchCost(class_weight * classes, mask_weight * masks, dice_weight * dice)


def hungarian_match(costs: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Queries, ascending, and the masks they get, for cost matrices [Q, N] of any number of images.

    Both index lists are int64 [min(Q, N)] on the device of the costs. The costs are brought to the CPU at once, so the
    device is waited for a single time. Costs that are no numbers count as the worst, so that such a step ends in a loss
    that is no number instead of an error.
    """
    if not costs:
        return []
    device = costs[0].device
    flat = torch.cat([cost.flatten() for cost in costs]).nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6).cpu()
    pairs = []
    for cost, values in zip(costs, flat.split([cost.numel() for cost in costs]), strict=True):
        queries, masks = linear_sum_assignment(values.view(cost.shape).numpy())
        pairs.append((torch.from_numpy(queries).to(device), torch.from_numpy(masks).to(device)))
    return pairs
