"""A teacher without weights: histograms of oriented gradients for every patch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.errors import InputError


class OrientedGradients(nn.Module):
    """Compute histograms of gradient directions for one or more cells in each patch.

    The gradient is the central difference of the mean over colours. Each pixel votes with its gradient's magnitude,
    linearly interpolated between the two nearest directions. Directions cover the full circle, so light on dark differs
    from dark on light. The concatenated histograms of a patch have unit L2 norm; those of a uniform patch are zero.

    Args:
        patch_size: Side of a patch in pixels.
        num_directions: Number of bins of a histogram.
        cells: Number of cells along each side of a patch; must divide `patch_size`.

    Raises:
        InputError: `cells` does not divide `patch_size`.

    Attributes:
        dim: Features per patch, `cells` * `cells` * `num_directions`.
    """

    def __init__(self, patch_size: int, num_directions: int = 8, cells: int = 1) -> None:
        super().__init__()
        if patch_size % cells:
            raise InputError(f"cells={cells} does not divide patch_size={patch_size}; choose a divisor of it.")
        self.cell_size = patch_size // cells
        self.cells = cells
        self.num_directions = num_directions
        self.dim = cells * cells * num_directions

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the features [B, N, `dim`] of pixels [B, 3, H, W], with the patches in row-major order."""
        grey = F.pad(pixels.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        gradient_x = (grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2])[:, 0]
        gradient_y = (grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1])[:, 0]
        # The angle in units of bins, 0 to num_directions.
        angle = torch.atan2(gradient_y, gradient_x).remainder(2 * math.pi) * (self.num_directions / (2 * math.pi))
        bins = torch.arange(self.num_directions, device=pixels.device).view(1, -1, 1, 1)
        distance = (angle.unsqueeze(1) - bins).abs()
        distance = torch.minimum(distance, self.num_directions - distance)  # bins are circular
        votes = (1 - distance).clamp(min=0) * torch.hypot(gradient_x, gradient_y).unsqueeze(1)
        # Averaging instead of summing over a cell does not matter: the histograms are normalised below.
        histograms = F.avg_pool2d(votes, self.cell_size)
        patches = F.pixel_unshuffle(histograms, self.cells).flatten(2).transpose(1, 2)
        return F.normalize(patches, dim=-1)
