"""Mapping a sample with random numbers that are a function of its number alone."""

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from eva_backbone.errors import InputError

from .batching import Records, Sample
from .picklable import Picklable

_MAX_TRIES = 20


@contextmanager
def numbered_randomness(seed: int, number: int, *stream: int) -> Iterator[None]:
    """Random numbers of `random`, `numpy.random` and torch on the CPU that depend on the arguments and nothing else.

    What the three would have drawn next without it, they draw afterwards. A `stream` of a number has nothing to do with
    its other streams or the one without a name.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence((seed, number), spawn_key=stream).generate_state(8)
    # Words of its own for each: `random` and `numpy.random` are the same generator.
    np.random.seed(words[:4])
    random.seed(int(words[4]) << 32 | int(words[5]))
    # torch.manual_seed would reach the generators of GPUs too.
    torch.default_generator.manual_seed(int(words[6]) << 32 | int(words[7]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


@dataclass(frozen=True)
class Failure:
    """Sentence of an `InputError`: raised in a worker, it would arrive with the worker's traceback as its message."""

    sentence: str


class NumberedSamples(Dataset):
    """Records, mapped under `numbered_randomness`.

    Args:
        records: dataset dicts.
        mapper: returns the model's input, or None to have another image in place of this one.
        seed: of the random numbers, at least 0.
    """

    def __init__(self, records: Records[dict], mapper: Callable[[dict], dict | None], seed: int) -> None:
        self.records = records
        self.mapper = Picklable(mapper)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, sample: Sample) -> dict | Failure:
        number, index = sample
        with numbered_randomness(self.seed, number):
            try:
                return self._map(int(index))
            except InputError as error:
                return Failure(str(error))

    def _map(self, index: int) -> dict:
        for _ in range(_MAX_TRIES):
            mapped = self.mapper(self.records[index])
            if mapped is not None:
                return mapped
            unusable, index = index, random.randrange(len(self))
        name = self.records[unusable].get("file_name", f"number {unusable}")
        raise InputError(
            f"{_MAX_TRIES} samples drawn one after the other could not be used, the last one {name}; "
            "check the training data."
        )


def keep_inherited(_number: int) -> None:
    """Leave alone in a forked process what its parent made; `worker_init_fn` of a `DataLoader`.

    Garbage of the parent would be collected here as well, and a destructor may wait for threads that only the parent
    has: those of FFmpeg's pixel conversions do, for ever.
    """
    gc.freeze()
