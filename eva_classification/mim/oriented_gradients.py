"""A target for masked image modelling that needs no weights: which way the edges of a patch run."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.errors import InputError


class OrientedGradients(nn.Module):
    """Histograms of gradient directions, one or several cells to a patch.

    The gradient is the difference of a pixel's neighbours, colours averaged. Each pixel adds its gradient's length to
    the two nearest directions; directions reach all around, so that light on dark differs from dark on light. The
    histograms of a patch are scaled to length 1 together; a patch without edges keeps zeros.

    Args:
        patch_size: side of a patch in pixels.
        num_directions: directions of a histogram.
        cells: cells along a side of a patch; must divide `patch_size`.

    Raises:
        InputError: cells that do not.

    Attributes:
        dim: features per patch, `cells` * `cells` * `num_directions`.
    """

    def __init__(self, patch_size: int, num_directions: int = 8, cells: int = 1) -> None:
        super().__init__()
        if patch_size % cells:
            raise InputError(f"cells={cells} do not divide a patch of {patch_size} pixels; give a number that does.")
        self.cell = patch_size // cells
        self.cells = cells
        self.num_directions = num_directions
        self.dim = cells * cells * num_directions

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] to features [B, N, `dim`] of the patches in row order."""
        grey = F.pad(pixels.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        across = (grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2])[:, 0]
        down = (grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1])[:, 0]
        place = torch.atan2(down, across).remainder(2 * math.pi) * (self.num_directions / (2 * math.pi))
        bins = torch.arange(self.num_directions, device=pixels.device).view(1, -1, 1, 1)
        distance = (place.unsqueeze(1) - bins).abs()
        distance = torch.minimum(distance, self.num_directions - distance)
        votes = (1 - distance).clamp(min=0) * torch.hypot(across, down).unsqueeze(1)
        histograms = F.avg_pool2d(votes, self.cell)
        patches = F.pixel_unshuffle(histograms, self.cells).flatten(2).transpose(1, 2)
        return F.normalize(patches, dim=-1)
