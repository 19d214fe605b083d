"""Samplers that divide the indices of a dataset among the processes of a run."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from eva_engine.processes import get_rank, get_world_size

_CHUNK_SIZE = 65536  # number of indices that are Python integers at a time


class ContiguousSampler(Sampler[int]):
    """Sampler for evaluation: a block of consecutive indices for each process.

    Every index belongs to exactly one process, and the sizes of the blocks differ by at most 1.

    Args:
        size: Number of samples over all processes.
    """

    def __init__(self, size: int) -> None:
        rank, world_size = get_rank(), get_world_size()
        block_size, remainder = divmod(size, world_size)
        start = rank * block_size + min(rank, remainder)
        if rank < remainder:  # the first `remainder` processes take one more
            block_size += 1
        self._indices = range(start, start + block_size)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[int]:
        yield from self._indices


class ShuffledSampler(Sampler[int]):
    """Sampler for training: the same endless sequence of indices as Detectron2's `TrainingSampler`.

    Detectron2's sampler converts every permutation of the dataset to a list of Python integers. With 400 million
    records, that takes 17 GB in each process; here, the permutation is a tensor of 3 GB.

    Args:
        size: Number of records, at least 1.
        seed: Random seed, which must be the same in every process.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._rank, self._world_size = get_rank(), get_world_size()

    def __iter__(self) -> Iterator[int]:
        """Yield every `world_size`-th index of the concatenated permutations, from the `rank`-th on."""
        generator = torch.Generator().manual_seed(self.seed)
        num_earlier = 0  # indices in earlier permutations, over all processes
        while True:
            permutation = torch.randperm(self.size, generator=generator)
            first = (self._rank - num_earlier) % self._world_size
            for chunk in permutation[first :: self._world_size].split(_CHUNK_SIZE):
                yield from chunk.tolist()
            num_earlier += self.size
