"""The evaluation loader of every task: each record once, in order, divided among the processes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from eva_backbone.errors import InputError

from .batching import Records
from .contiguous_sampler import ContiguousSampler
from .numbered_samples import Failure, keep_inherited, numbered_randomness
from .picklable import Picklable

Mapper = Callable[[Any], dict[str, Any]]


class EvalLoader:
    """Finite batches of this process's part of a data set.

    Each mapped record gets two more entries: "index", its number, and "repeated", whether it was evaluated before.

    Args:
        dataset: the records.
        mapper: from a record to the model's input. Random numbers that it draws from `random`, `numpy.random` or torch
            are the same for a record in every evaluation.
        collate: makes a batch of a list of samples; by default the list itself is the batch.
        batch_size: samples per batch of a process.
        num_workers: processes that map; 0 maps in this one.
        repeat_to_multiple_of: published accuracies were measured on many GPUs that each took the same number of images,
            so the first ones were repeated until the set divided evenly. Giving that number of GPUs reproduces such a
            set on any number of processes. Repeated samples have numbers beyond the last record.

    Raises:
        InputError: a batch size or multiple below 1; while iterating, a record that cannot be used.
    """

    def __init__(
        self,
        dataset: Records[Any],
        *,
        mapper: Mapper,
        collate: Callable[[list[dict[str, Any]]], Any] = list,
        batch_size: int = 1,
        num_workers: int = 0,
        repeat_to_multiple_of: int = 1,
    ) -> None:
        if batch_size < 1 or repeat_to_multiple_of < 1:
            raise InputError(
                f"batch_size={batch_size} and repeat_to_multiple_of={repeat_to_multiple_of} must be 1 or more."
            )
        self.dataset = dataset
        self.num_samples = -(-len(dataset) // repeat_to_multiple_of) * repeat_to_multiple_of
        self._batches = DataLoader(
            _MappedDataset(dataset, mapper),
            batch_size=batch_size,
            sampler=ContiguousSampler(self.num_samples),
            num_workers=num_workers,
            collate_fn=partial(_collate_usable, collate),
            # Starting the workers would otherwise draw from torch's global generator.
            generator=torch.Generator().manual_seed(0),
            worker_init_fn=keep_inherited,
        )

    def __len__(self) -> int:
        """Batches of this process."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        """What `collate` returns for each batch."""
        for batch in self._batches:
            if isinstance(batch, Failure):
                raise InputError(batch.sentence)
            yield batch


class _MappedDataset(Dataset):
    def __init__(self, records: Records[Any], mapper: Mapper) -> None:
        self.records = records
        self.mapper = Picklable(mapper)

    def __getitem__(self, number: int) -> dict[str, Any] | Failure:
        num_records = len(self.records)
        with numbered_randomness(0, number):
            try:
                mapped = self.mapper(self.records[number % num_records])
            except InputError as error:
                return Failure(str(error))
        return {**mapped, "index": number, "repeated": number >= num_records}


def _collate_usable(collate: Callable, samples: list[Any]) -> Any:
    for sample in samples:
        if isinstance(sample, Failure):
            return sample
    return collate(samples)
