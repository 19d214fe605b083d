"""Values of masks at points, and points where a mask is uncertain."""

import torch
import torch.nn.functional as F
from torch import Tensor

OVERSAMPLING = 3
UNCERTAIN_SHARE = 0.75


def sample_masks(masks: Tensor, points: Tensor) -> Tensor:
    """Bilinear values [N, P] of masks [N, H, W] at points; beyond the border a mask is 0.

    points: (x, y) as shares of the sides: [P, 2], the same for all masks, or [N, P, 2].
    """
    grid = 2 * points.to(masks.dtype) - 1
    if points.ndim == 2:
        # as channels of one map, so that corners and weights are found once for all of them
        return F.grid_sample(masks[None], grid[None, None], mode="bilinear", align_corners=False)[0, :, 0]
    return F.grid_sample(masks[:, None], grid[:, None], mode="bilinear", align_corners=False)[:, 0, 0]


def random_points(num_masks: int, num_points: int, device: torch.device) -> Tensor:
    """Uniform points [num_masks, num_points, 2]."""
    return torch.rand(num_masks, num_points, 2, device=device)


@torch.no_grad()
def uncertain_points(mask_logits: Tensor, num_points: int) -> Tensor:
    """Points [N, num_points, 2] for mask logits [N, H, W]: three quarters near the masks' outlines, the rest uniform.

    The first are those of three times as many uniform candidates whose logits are nearest to 0.
    """
    num_masks, device = len(mask_logits), mask_logits.device
    candidates = random_points(num_masks, OVERSAMPLING * num_points, device)
    certainty = sample_masks(mask_logits, candidates).abs()
    num_uncertain = int(UNCERTAIN_SHARE * num_points)
    chosen = certainty.topk(num_uncertain, dim=1, largest=False).indices
    chosen = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, random_points(num_masks, num_points - num_uncertain, device)], dim=1)
