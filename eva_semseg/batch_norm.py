"""Batch normalisation of maps, over the images of all processes."""

import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch normalisation with the statistics of all processes on accelerators, of each process alone on the CPU.

    PyTorch does not synchronise batch statistics on the CPU.

    A map [B, C, H, W] that is a view of tokens is copied first: with a batch of one, PyTorch's CPU kernel returns wrong
    gradients for those strides.

    A batch of a single value per channel, such as one image pooled to one pixel, has no variance. It is normalised with
    the running statistics, which stay unchanged.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, H, W]."""
        input = input.contiguous()
        is_parallel = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        synchronises = is_parallel and input.device.type != "cpu"
        if self.training and input.numel() == input.shape[1] and not synchronises:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        if input.device.type == "cpu":
            # nn.SyncBatchNorm raises an error for CPU tensors. Both classes have the same attributes.
            return nn.BatchNorm2d.forward(self, input)
        return super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim != 4:
            raise ValueError(f"expected a map [B, C, H, W], got shape {list(input.shape)}")
