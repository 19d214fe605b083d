"""LayerNorm that computes in float32 for inputs of any lower precision."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the last dimension, computed in float32; eps is 1e-6 by default.

    The output has the dtype of the input, even under autocast. There PyTorch's own LayerNorm returns float32, which
    would widen every residual stream that it feeds.
    """

    def __init__(self, dim: int, eps: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(dim, eps=eps, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise [..., dim]; the result has the dtype of `x`."""
        if x.dtype == self.weight.dtype:  # PyTorch computes in float32 and rounds the result alone
            return super().forward(x).to(x.dtype)  # which is in float32 under autocast of CUDA
        weight = self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)
