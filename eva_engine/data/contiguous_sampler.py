"""The part of a data set that a process evaluates."""

from collections.abc import Iterator

from torch.utils.data import Sampler

from eva_engine.processes import get_rank, get_world_size


class ContiguousSampler(Sampler[int]):
    """Consecutive indices for each process; every index belongs to exactly one, and sizes differ by at most 1.

    Args:
        size: number of samples over all processes.
    """

    def __init__(self, size: int) -> None:
        rank, world_size = get_rank(), get_world_size()
        each, rest = divmod(size, world_size)
        start = rank * each + min(rank, rest)
        self._indices = range(start, start + each + (rank < rest))

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[int]:
        yield from self._indices
