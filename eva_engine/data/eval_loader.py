"""The evaluation loader of all tasks: every record once, in order, divided among the processes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from eva_backbone.errors import InputError

from .batching import MapStyleDataset
from .samplers import ContiguousSampler
from .seeded_dataset import PicklableFunction, SampleError, seeded_randomness
from .workers import TIMEOUT, worker_options

Mapper = Callable[[Any], dict[str, Any]]


class EvalLoader:
    """Yields the batches of this process's part of a dataset.

    Two entries are added to each mapped record: "index", its number, and "repeated", whether it repeats an earlier one.

    Args:
        dataset: Records.
        mapper: Function from a record to the model's input. Random numbers that it draws from `random`, `numpy.random`
            or torch are the same for a record in every evaluation.
        collate: Function that makes a batch of a list of samples; by default, the list itself is the batch.
        batch_size: Number of samples per batch of a process.
        num_workers: Number of processes that map records; 0 maps in this process.
        timeout: Seconds after which iterating stops if these processes deliver nothing; 0 waits without limit.
        repeat_to_multiple_of: Published accuracies were measured on many GPUs, each of which took the same number of
            images; the first images were repeated until the dataset could be divided evenly. Giving that number of
            GPUs reproduces such a dataset on any number of processes. Repeated samples have indices beyond the last
            record.

    Raises:
        InputError: `batch_size` or `repeat_to_multiple_of` is below 1, or another number below 0; while iterating, a
            record cannot be used.
    """

    def __init__(
        self,
        dataset: MapStyleDataset[Any],
        *,
        mapper: Mapper,
        collate: Callable[[list[dict[str, Any]]], Any] = list,
        batch_size: int = 1,
        num_workers: int = 0,
        timeout: float = TIMEOUT,
        repeat_to_multiple_of: int = 1,
    ) -> None:
        if batch_size < 1 or repeat_to_multiple_of < 1:
            raise InputError(
                f"batch_size={batch_size} and repeat_to_multiple_of={repeat_to_multiple_of} must be 1 or more."
            )
        self.dataset = dataset
        self.num_samples = -(-len(dataset) // repeat_to_multiple_of) * repeat_to_multiple_of  # rounded up
        self._batches = DataLoader(
            _MappedDataset(dataset, mapper),
            batch_size=batch_size,
            sampler=ContiguousSampler(self.num_samples),
            **worker_options(num_workers, timeout),
            collate_fn=partial(_collate_or_first_error, collate),
            # Without a generator, starting the workers would draw from torch's global one.
            generator=torch.Generator().manual_seed(0),
        )

    def __len__(self) -> int:
        """Return the number of batches of this process."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        """Yield the result of `collate` for each batch."""
        for batch in self._batches:
            if isinstance(batch, SampleError):
                raise InputError(batch.message)
            yield batch


class _MappedDataset(Dataset):
    def __init__(self, records: MapStyleDataset[Any], mapper: Mapper) -> None:
        self.records = records
        self.mapper = PicklableFunction(mapper)

    def __getitem__(self, number: int) -> dict[str, Any] | SampleError:
        num_records = len(self.records)
        with seeded_randomness(0, number):
            try:
                mapped = self.mapper(self.records[number % num_records])
            except InputError as error:
                return SampleError(str(error))
        return {**mapped, "index": number, "repeated": number >= num_records}


def _collate_or_first_error(collate: Callable, samples: list[Any]) -> Any:
    for sample in samples:
        if isinstance(sample, SampleError):
            return sample
    return collate(samples)
