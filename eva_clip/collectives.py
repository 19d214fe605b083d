"""Collective operations of the contrastive loss. In a single process each of them returns its input.

They are not differentiable: the loss computes its gradients itself.
"""

import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return the number of processes."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    return 1


def local_row_offset(num_local: int) -> int:
    """Return the index of this process's first row among the gathered rows of all processes.

    Args:
        num_local: Number of rows of this process, the same in every process.
    """
    return dist.get_rank() * num_local if world_size() > 1 else 0


def all_gather_rows(local: Tensor) -> Tensor:
    """Concatenate the rows [B, ...] of all P processes in the order of their ranks, [P * B, ...].

    Every process has to have the same number of rows.
    """
    if world_size() == 1:
        return local
    gathered = local.new_empty(world_size() * len(local), *local.shape[1:])
    dist.all_gather_into_tensor(gathered, local.contiguous())
    return gathered


def reduce_scatter_rows(rows: Tensor) -> Tensor:
    """Sum rows [P * B, ...] over the P processes and return the [B, ...] of the sum that belong to this process."""
    if world_size() == 1:
        return rows
    local = rows.new_empty(len(rows) // world_size(), *rows.shape[1:])
    dist.reduce_scatter_tensor(local, rows)
    return local


def all_reduce_logsumexp(log_sums: Tensor) -> Tensor:
    """Compute log(sum(exp(x))) over processes for each element x of `log_sums` [N]."""
    if world_size() == 1:
        return log_sums
    # The maximum is taken out before exp, so that nothing overflows and the largest term is exactly 1.
    maxima = log_sums.clone()
    dist.all_reduce(maxima, dist.ReduceOp.MAX)
    sums = (log_sums - maxima).exp_()
    dist.all_reduce(sums)
    return sums.log_().add_(maxima)


def all_reduce_mean(value: Tensor) -> Tensor:
    """Average a tensor of any shape over processes."""
    if world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / world_size()
