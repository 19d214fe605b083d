"""The loader of evaluations: every image once, split among the processes."""

from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Any

import torch
from detectron2.data.samplers import InferenceSampler
from detectron2.utils.serialize import PicklableWrapper
from torch.utils.data import DataLoader, Dataset

from detectron2_ext.data.numbered_samples import Failure
from eva_backbone.errors import InputError

from .batches import ImageBatches


class TestLoader:
    """Finite batches of this process's part of the images, in their order.

    Args:
        dataset: the records.
        mapper: from a record to the model's input, without random numbers.
        batch_size: images per batch of a process.
        num_workers: processes that map; 0: this one does.
        repeat_to_multiple_of: published accuracies were measured on many GPUs that each took as many images, the first
            ones of the set being repeated until it divided. Their number gives such a set on any number of processes;
            the batches mark repetitions in "repeated", bool [B].

    Raises:
        InputError: while iterating, an image that cannot be used.
    """

    __test__ = False  # no test class, although its name begins like one

    def __init__(
        self,
        dataset: Sequence[Any],
        *,
        mapper: Callable[[Any], dict[str, Any]],
        batch_size: int = 24,
        num_workers: int = 0,
        repeat_to_multiple_of: int = 1,
    ) -> None:
        if batch_size < 1 or repeat_to_multiple_of < 1:
            raise InputError(
                f"batch_size={batch_size} and repeat_to_multiple_of={repeat_to_multiple_of} must be 1 or more."
            )
        self.dataset: Sized = dataset
        multiple = repeat_to_multiple_of
        self.num_images = -(-len(dataset) // multiple) * multiple
        self._batches = DataLoader(
            _Mapped(dataset, mapper),
            batch_size=batch_size,
            sampler=InferenceSampler(self.num_images),
            num_workers=num_workers,
            collate_fn=_collate,
            # Starting the workers would draw from torch's own state otherwise.
            generator=torch.Generator().manual_seed(0),
        )

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._batches:
            if isinstance(batch, Failure):
                raise InputError(batch.sentence)
            yield batch


class _Mapped(Dataset):
    def __init__(self, records: Sequence[Any], mapper: Callable[[Any], dict[str, Any]]) -> None:
        self.records = records
        self.mapper = PicklableWrapper(mapper)

    def __getitem__(self, number: int) -> dict[str, Any] | Failure:
        try:
            mapped = self.mapper(self.records[number % len(self.records)])
        except InputError as error:
            return Failure(str(error))
        return {**mapped, "repeated": number >= len(self.records)}


def _collate(samples: list[dict[str, Any] | Failure]) -> dict[str, Any] | Failure:
    failures = [sample for sample in samples if isinstance(sample, Failure)]
    if failures:
        return failures[0]
    return {**ImageBatches()(samples), "repeated": torch.tensor([sample["repeated"] for sample in samples])}
