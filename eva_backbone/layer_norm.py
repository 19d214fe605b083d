"""LayerNorm whose arithmetic is float32 whatever the precision of its input."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the last dimension with float32 statistics and affine, eps 1e-6.

    The output has the dtype of the input, under autocast too (where PyTorch's own would return float32 and so widen
    every residual stream it feeds). Input and output: [..., dim].
    """

    def __init__(self, dim: int, eps: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(dim, eps=eps, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., dim] to [..., dim] in the dtype of `x`."""
        if x.dtype == self.weight.dtype and x.dtype in (torch.float32, torch.float64):
            return super().forward(x)
        weight, bias = self.weight.float(), None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)
