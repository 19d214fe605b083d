"""The processes of a distributed run: ranks, and communication between CPUs.

All functions also work in a single process without a process group.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist

from eva_backbone.errors import InputError

Value = TypeVar("Value")

CPU = torch.device("cpu")
# The other ranks wait while rank 0 computes metrics, which may take hours. If a process dies, gloo notices immediately
# in any case.
_LONG_WAIT = timedelta(hours=24)


def get_world_size() -> int:
    """Return the number of processes in the run; 1 without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    return 1


def get_rank() -> int:
    """Return the rank of this process; 0 without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return 0


def new_cpu_group() -> dist.ProcessGroup | None:
    """Create a gloo group of all processes whose messages cannot mix with those of training.

    Returns:
        The group, or None without a process group.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return None
    return cast("dist.ProcessGroup", dist.new_group(backend="gloo"))  # an int only in processes outside of the group


def long_wait_group() -> dist.ProcessGroup:
    """Return the gloo group of all processes that waits for up to 24 hours; all processes create it together."""
    return _long_wait_group(cast("dist.ProcessGroup", dist.group.WORLD))


@lru_cache(maxsize=1)
def _long_wait_group(world: dist.ProcessGroup) -> dist.ProcessGroup:
    group = dist.new_group(dist.get_process_group_ranks(world), backend="gloo", timeout=_LONG_WAIT)
    return cast("dist.ProcessGroup", group)


def is_rank_zero(group: dist.ProcessGroup | None) -> bool:
    """Return whether this process has rank 0 in `group`; True if `group` is None, in a single process."""
    return group is None or dist.get_rank(group) == 0


def all_gather_objects(group: dist.ProcessGroup | None, value: Any) -> list[Any]:
    """Return the `value` of every process in the order of their ranks."""
    values = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values


def run_on_rank_zero(
    action: Callable[[], Value], group: dist.ProcessGroup | None = None, *, broadcast_result: bool = False
) -> Value | None:
    """Run `action` on rank 0 while the other ranks wait.

    Args:
        action: Function to run; the other ranks never call it.
        group: Gloo group of all processes; by default `long_wait_group`.
        broadcast_result: Return the result on all ranks instead of rank 0 only.

    Returns:
        Result of `action`; None on ranks that do not get it.

    Raises:
        InputError: On all ranks, if `action` raised it.
        RuntimeError: On the waiting ranks, if `action` raised any other exception, which rank 0 raises unchanged.
    """
    if get_world_size() == 1:
        return action()
    group = long_wait_group() if group is None else group
    if not is_rank_zero(group):
        result, failure = _broadcast((None, None), group)
        if failure is not None:
            raise failure
        return result
    try:
        result = action()
    except Exception as error:
        # The exception itself may not survive pickling, so the other ranks get its text.
        if isinstance(error, InputError):
            _broadcast((None, InputError(str(error))), group)
        else:
            _broadcast((None, RuntimeError(f"rank 0 failed with {type(error).__name__}: {error}")), group)
        raise
    _broadcast((result if broadcast_result else None, None), group)
    return result


def on_all_ranks(action: Callable[[], Value]) -> Value:
    """Run `action` on rank 0 and return its result on all ranks; see `run_on_rank_zero` for the errors."""
    return cast("Value", run_on_rank_zero(action, broadcast_result=True))


def _broadcast(value: Any, group: dist.ProcessGroup) -> Any:
    """Return the `value` of rank 0 on all ranks."""
    values = [value]
    dist.broadcast_object_list(values, src=0, group=group, device=CPU)
    return values[0]


def shared_random_seed() -> int:
    """Draw a seed from numpy's global generator and return that of rank 0 in every process."""
    seed = int(np.random.randint(2**31))
    return seed if get_world_size() == 1 else all_gather_objects(None, seed)[0]
