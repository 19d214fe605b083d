"""What the processes of a run tell each other about checkpoints."""

from collections.abc import Callable
from typing import Any, cast

import torch.distributed as dist


def new_group() -> dist.ProcessGroup | None:
    """A group of all processes for messages between their CPUs, apart from those of training; None if there is one."""
    if not (dist.is_available() and dist.is_initialized()):
        return None
    return cast("dist.ProcessGroup", dist.new_group(backend="gloo"))  # a number only for those left out of it


def is_first(group: dist.ProcessGroup | None) -> bool:
    """Whether this process is the one that keeps the folder in order."""
    return group is None or dist.get_rank(group) == 0


def all_values(group: dist.ProcessGroup | None, value: Any) -> list[Any]:
    """The `value` of every process, in their order."""
    values = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values


def on_first_process(group: dist.ProcessGroup | None, action: Callable[[], Any]) -> Any:
    """What `action()` returns on the first process, or the exception it raises, on every process of `group`."""
    if group is None:
        return action()
    outcome: list[Any] = [None, None]
    if is_first(group):
        try:
            outcome[0] = action()
        except Exception as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome, src=0, group=group)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
