"""Bringing the predictions of all processes together in the first one, and what comes of them back to all."""

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from detectron2.utils import comm

from eva_backbone.errors import InputError

Value = TypeVar("Value")

# A record with a mask is about a kilobyte.
_CHUNK_SIZE = 10_000
# The other processes wait while the first one computes metrics. One that dies is noticed at once all the same.
_TIMEOUT = timedelta(hours=24)
_CPU = torch.device("cpu")


def gather_records(records: list[dict], chunk_size: int = _CHUNK_SIZE) -> list[dict]:
    """Records of all processes in the order of their ranks in the first process, [] in the others.

    One process after the other sends, `chunk_size` records at a time, and lets go of what it has sent: `records` is
    empty afterwards. So the first process holds every record once, and one chunk that travels.
    """
    own, records[:] = records[:], []
    if comm.get_world_size() == 1:
        return own
    group = _waiting_group(dist.group.WORLD)
    if comm.is_main_process():
        for rank in range(1, comm.get_world_size()):
            while chunk := _receive(rank, group):
                own += chunk
        return own
    # From the end a list gives up its items cheaply.
    own.reverse()
    while own:
        chunk = own[: -chunk_size - 1 : -1]
        del own[-chunk_size:]
        dist.send_object_list([chunk], dst=0, group=group, device=_CPU)
    dist.send_object_list([[]], dst=0, group=group, device=_CPU)
    return []


def gather_values(value: Value) -> list[Value]:
    """One small value of each process, in the order of their ranks, in all processes."""
    if comm.get_world_size() == 1:
        return [value]
    return comm.all_gather(value, group=_waiting_group(dist.group.WORLD))


def run_on_first(work: Callable[[], Value]) -> Value | None:
    """Result of `work`, which only the first process runs while the others wait; None in the others.

    Raises:
        InputError: in every process, where `work` raised it.
        RuntimeError: in the waiting processes, where `work` failed in another way.
    """
    if comm.is_main_process():
        try:
            result = work()
        except Exception as error:
            if isinstance(error, InputError):
                _pass_on(InputError(str(error)))
            else:
                _pass_on(RuntimeError(f"the first process has failed with {type(error).__name__}: {error}"))
            raise
        _pass_on(None)
        return result
    failure = _pass_on(None)
    if failure is not None:
        raise failure
    return None


def _receive(rank: int, group: dist.ProcessGroup) -> list[dict]:
    received: list[Any] = [None]
    dist.recv_object_list(received, src=rank, group=group, device=_CPU)
    return received[0]


def _pass_on(failure: Exception | None) -> Exception | None:
    """The first process's `failure`, in all processes."""
    if comm.get_world_size() > 1:
        sent = [failure]
        dist.broadcast_object_list(sent, src=0, group=_waiting_group(dist.group.WORLD), device=_CPU)
        return sent[0]
    return failure


@lru_cache(maxsize=1)
def _waiting_group(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """All processes of `world`, joined over main memory, also where `world` is for GPUs; made once by all together."""
    group = dist.new_group(dist.get_process_group_ranks(world), backend="gloo", timeout=_TIMEOUT)
    return cast("dist.ProcessGroup", group)  # a number only for processes that are left out of it
