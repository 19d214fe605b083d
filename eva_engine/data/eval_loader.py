"""What the loaders of evaluations share: every record once, in its order, split among the processes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from detectron2.data.samplers import InferenceSampler
from detectron2.utils.serialize import PicklableWrapper
from torch.utils.data import DataLoader, Dataset

from eva_backbone.errors import InputError

from .batching import Records
from .numbered_samples import Failure, keep_inherited, numbered_randomness

Mapper = Callable[[Any], dict[str, Any]]
Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]


class EvaluationSamples:
    """This process's part of the records, mapped, each with its number in "index".

    Args:
        records: of the data set.
        mapper: from a record to the model's input. Its random numbers come from `random`, `numpy.random` or torch, and
            are the same for a record in each evaluation.
        num_samples: how many there are over all processes; beyond the last record they begin again at the first, with
            numbers that go on. By default as many as records.
        collate: what the workers make of `batch_size` samples; without it samples come one by one.
        batch_size: samples per batch of a process, where they are collated.
        num_workers: processes that map; 0: this one does.

    Raises:
        InputError: while iterating, a record that cannot be used.
    """

    def __init__(
        self,
        records: Records[Any],
        mapper: Mapper,
        *,
        num_samples: int | None = None,
        collate: Collate | None = None,
        batch_size: int | None = None,
        num_workers: int = 0,
    ) -> None:
        self._samples = DataLoader(
            _Mapped(records, mapper),
            batch_size=batch_size,
            sampler=InferenceSampler(len(records) if num_samples is None else num_samples),
            num_workers=num_workers,
            collate_fn=_unchanged if collate is None else partial(_collate_usable, collate),
            # Starting the workers would draw from torch's own state otherwise.
            generator=torch.Generator().manual_seed(0),
            worker_init_fn=keep_inherited,
        )

    def __len__(self) -> int:
        """Of samples, or of batches where they are collated, on this process."""
        return len(self._samples)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What the mapper or `collate` returns."""
        for sample in self._samples:
            if isinstance(sample, Failure):
                raise InputError(sample.sentence)
            yield sample


class _Mapped(Dataset):
    def __init__(self, records: Records[Any], mapper: Mapper) -> None:
        self.records = records
        self.mapper = PicklableWrapper(mapper)

    def __getitem__(self, number: int) -> dict[str, Any] | Failure:
        with numbered_randomness(0, number):
            try:
                return {**self.mapper(self.records[number % len(self.records)]), "index": number}
            except InputError as error:
                return Failure(str(error))


def _unchanged(sample: Any) -> Any:
    return sample


def _collate_usable(collate: Collate, samples: list[Any]) -> dict[str, Any] | Failure:
    failures = [sample for sample in samples if isinstance(sample, Failure)]
    return failures[0] if failures else collate(samples)
