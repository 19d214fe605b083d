"""What the processes of a run tell each other for the contrastive loss; alone, a process hears only itself."""

import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first_own(num_own: int) -> int:
    """Row at which this process's begin among those of all."""
    return dist.get_rank() * num_own if world_size() > 1 else 0


def gather(own: Tensor) -> Tensor:
    """Rows [P * B, ...] of all P processes in the order of their ranks; each must give equally many, [B, ...]."""
    if world_size() == 1:
        return own
    everything = own.new_empty(world_size() * len(own), *own.shape[1:])
    dist.all_gather_into_tensor(everything, own.contiguous())
    return everything


def scatter_sum(everything: Tensor) -> Tensor:
    """This process's rows [B, ...] of the sum of everybody's [P * B, ...]."""
    if world_size() == 1:
        return everything
    own = everything.new_empty(len(everything) // world_size(), *everything.shape[1:])
    dist.reduce_scatter_tensor(own, everything)
    return own


def log_sum_exp(log_sums: Tensor) -> Tensor:
    """Of every element of [N] over processes, [N]."""
    if world_size() == 1:
        return log_sums
    largest = log_sums.clone()
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    sums = (log_sums - largest).exp_()
    dist.all_reduce(sums)
    return sums.log_().add_(largest)


def mean(value: Tensor) -> Tensor:
    """Of a tensor of any shape over processes."""
    if world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / world_size()
