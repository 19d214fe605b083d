"""Gather the predictions of all processes, for metrics that are computed on rank 0."""

from typing import Any, TypeVar

import torch.distributed as dist

from eva_engine.processes import CPU, all_gather_objects, get_rank, get_world_size, long_wait_group

Value = TypeVar("Value")

_CHUNK_SIZE = 10_000  # records per message; a record with a mask has about a kilobyte


def gather_records(records: list[dict], chunk_size: int = _CHUNK_SIZE) -> list[dict]:
    """Gather records on rank 0 in the order of the ranks, with bounded memory.

    The other ranks send one after the other, `chunk_size` records at a time, and free what they have sent. Rank 0 thus
    holds every record once, plus one chunk in transit.

    Args:
        records: Records of this process; the list is empty afterwards.
        chunk_size: Number of records per message.

    Returns:
        The records of all processes on rank 0, [] on the other ranks.
    """
    own, records[:] = records[:], []
    if get_world_size() == 1:
        return own
    group = long_wait_group()
    if get_rank() == 0:
        for rank in range(1, get_world_size()):
            while chunk := _receive(rank, group):
                own += chunk
        return own
    # Reversed, because only the end of a list can be deleted without moving the other items.
    own.reverse()
    while own:
        chunk = own[: -chunk_size - 1 : -1]
        del own[-chunk_size:]
        dist.send_object_list([chunk], dst=0, group=group, device=CPU)
    dist.send_object_list([[]], dst=0, group=group, device=CPU)  # an empty chunk ends the transfer
    return []


def gather_values(value: Value) -> list[Value]:
    """Return the `value` of every process, in the order of their ranks, on all ranks; for small values."""
    if get_world_size() == 1:
        return [value]
    return all_gather_objects(long_wait_group(), value)


def _receive(rank: int, group: dist.ProcessGroup) -> list[dict]:
    received: list[Any] = [None]
    dist.recv_object_list(received, src=rank, group=group, device=CPU)
    return received[0]
