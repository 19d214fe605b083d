"""Map samples with random numbers that depend on the seed and the number of the sample alone."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from eva_backbone.errors import InputError

from .batching import MapStyleDataset, SampleIndex

_MAX_TRIES = 20


@contextmanager
def seeded_randomness(seed: int, number: int, *stream: int) -> Iterator[None]:
    """Seed `random`, `numpy.random` and torch's CPU generator in the block, and restore their states afterwards.

    Args:
        seed: Random seed of the loader.
        number: Number of the sample.
        stream: Numbers of an independent stream of random numbers for the same sample.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence((seed, number), spawn_key=stream).generate_state(8)
    # Different words for each: `random` and `numpy.random` use the same generator (Mersenne Twister).
    np.random.seed(words[:4])
    random.seed(int(words[4]) << 32 | int(words[5]))
    # torch.manual_seed would also seed the generators of GPUs.
    torch.default_generator.manual_seed(int(words[6]) << 32 | int(words[7]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


@dataclass(frozen=True)
class SampleError:
    """Message of an `InputError` in a worker; a raised one would arrive with the traceback in its message."""

    message: str


class PicklableFunction:
    """A function that is pickled by value, so that it may be a lambda or a local function.

    Worker processes that are spawned, not forked, receive the dataset as a pickle.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        import cloudpickle  # needed only if workers are spawned

        return _unpickle, (cloudpickle.dumps(self.function),)


def _unpickle(pickled: bytes) -> PicklableFunction:
    import cloudpickle

    return PicklableFunction(cloudpickle.loads(pickled))


class SeededDataset(Dataset):
    """A dataset whose records are mapped under `seeded_randomness`.

    Args:
        records: Dataset dicts.
        mapper: Function from a record to the model's input; if it returns None, another record is drawn instead.
        seed: Random seed, at least 0.
    """

    def __init__(self, records: MapStyleDataset[dict], mapper: Callable[[dict], dict | None], seed: int) -> None:
        self.records = records
        self.mapper = PicklableFunction(mapper)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, sample: SampleIndex) -> dict | SampleError:
        number, index = sample
        with seeded_randomness(self.seed, number):
            try:
                return self._map(int(index))
            except InputError as error:
                return SampleError(str(error))

    def _map(self, index: int) -> dict:
        for _ in range(_MAX_TRIES):
            mapped = self.mapper(self.records[index])
            if mapped is not None:
                return mapped
            unusable, index = index, random.randrange(len(self))
        name = self.records[unusable].get("file_name", f"number {unusable}")
        raise InputError(
            f"{_MAX_TRIES} samples in a row could not be used, the last one {name}; check the training data."
        )
