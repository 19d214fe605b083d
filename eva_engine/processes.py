"""The processes of a run: this one's rank, and messages between their CPUs."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch.distributed as dist


def get_world_size() -> int:
    """Number of processes in the run: 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def get_rank() -> int:
    """Number of this process in the run, from 0; 0 without a process group."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def new_cpu_group() -> dist.ProcessGroup | None:
    """A group of all processes for messages between their CPUs, apart from those of training; None if there is one."""
    if not (dist.is_available() and dist.is_initialized()):
        return None
    return cast("dist.ProcessGroup", dist.new_group(backend="gloo"))  # a number only for those left out of it


def is_rank_zero(group: dist.ProcessGroup | None) -> bool:
    """Whether this process is the one that keeps the folder in order."""
    return group is None or dist.get_rank(group) == 0


def all_gather_objects(group: dist.ProcessGroup | None, value: Any) -> list[Any]:
    """The `value` of every process, in their order."""
    values = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values


def run_on_rank_zero(group: dist.ProcessGroup | None, action: Callable[[], Any]) -> Any:
    """What `action()` returns on the first process, or the exception it raises, on every process of `group`."""
    if group is None:
        return action()
    outcome: list[Any] = [None, None]
    if is_rank_zero(group):
        try:
            outcome[0] = action()
        except Exception as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome, src=0, group=group)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def shared_random_seed() -> int:
    """A seed drawn from numpy's global generator, the same in every process."""
    seed = int(np.random.randint(2**31))
    return seed if get_world_size() == 1 else all_gather_objects(None, seed)[0]
