"""Batch normalisation over the batches of all processes."""

import torch
from torch import Tensor, nn


class SyncBatchNorm(nn.SyncBatchNorm):
    """Statistics of all processes on accelerators, where PyTorch has them; on the CPU of each process alone.

    A map [B, C, H, W] that is a view of tokens is copied first: with a batch of one, PyTorch's CPU kernel returns wrong
    gradients for those strides.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]."""
        input = input.contiguous()
        # The plain kernel with this layer's own settings: PyTorch refuses to synchronise on the CPU.
        return nn.BatchNorm2d.forward(self, input) if input.device.type == "cpu" else super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim != 4:
            raise ValueError(f"expected a map [B, C, H, W], got {torch.Size(input.shape)}")
