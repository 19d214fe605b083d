"""Sampling of masks at points, and the choice of points where a mask is uncertain.

Losses at a few thousand points instead of all pixels save most of their memory, as in PointRend.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

OVERSAMPLE_RATIO = 3
IMPORTANCE_SAMPLE_RATIO = 0.75


def sample_masks(masks: Tensor, points: Tensor) -> Tensor:
    """Return the bilinearly interpolated values [N, P] of masks [N, H, W] at points; outside, a mask is 0.

    Args:
        masks: [N, H, W].
        points: (x, y) in 0 to 1 of the sides: [P, 2], the same for all masks, or [N, P, 2].
    """
    # grid_sample with align_corners=False puts the outer edges of a map at -1 and 1.
    grid = 2 * points.to(masks.dtype) - 1
    if points.ndim == 2:
        # Masks as channels of one map, so that neighbours and weights of a point are computed once for all masks.
        return F.grid_sample(masks[None], grid[None, None], mode="bilinear", align_corners=False)[0, :, 0]
    return F.grid_sample(masks[:, None], grid[:, None], mode="bilinear", align_corners=False)[:, 0, 0]


def random_points(num_masks: int, num_points: int, device: torch.device) -> Tensor:
    """Draw uniform points [num_masks, num_points, 2] in 0 to 1."""
    return torch.rand(num_masks, num_points, 2, device=device)


@torch.no_grad()
def uncertain_points(mask_logits: Tensor, num_points: int) -> Tensor:
    """Choose points [N, num_points, 2] for mask logits [N, H, W]: 75 % where a mask is uncertain, the rest uniform.

    The uncertain ones are the points with logits nearest to 0, usually at the outline of a mask, out of three times
    `num_points` uniform candidates. There the loss has most to teach; the uniform rest keeps errors far away from the
    outline visible.
    """
    num_masks, device = len(mask_logits), mask_logits.device
    candidates = random_points(num_masks, OVERSAMPLE_RATIO * num_points, device)
    certainty = sample_masks(mask_logits, candidates).abs()
    num_uncertain = int(IMPORTANCE_SAMPLE_RATIO * num_points)
    indices = certainty.topk(num_uncertain, dim=1, largest=False).indices
    uncertain = candidates.gather(1, indices[..., None].expand(-1, -1, 2))
    return torch.cat([uncertain, random_points(num_masks, num_points - num_uncertain, device)], dim=1)
