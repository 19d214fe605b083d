"""The loader of evaluations: every image once, split among the processes."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from eva_backbone.errors import InputError
from eva_engine.data.batching import Records
from eva_engine.data.eval_loader import EvaluationSamples, Mapper

from .collate import ImageBatches


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
        dataset: Records[Any],
        *,
        mapper: Mapper,
        batch_size: int = 24,
        num_workers: int = 0,
        repeat_to_multiple_of: int = 1,
    ) -> None:
        if batch_size < 1 or repeat_to_multiple_of < 1:
            raise InputError(
                f"batch_size={batch_size} and repeat_to_multiple_of={repeat_to_multiple_of} must be 1 or more."
            )
        self.dataset = dataset
        multiple = repeat_to_multiple_of
        self.num_images = -(-len(dataset) // multiple) * multiple
        self._batches = EvaluationSamples(
            dataset,
            mapper,
            num_samples=self.num_images,
            collate=partial(_collate, len(dataset)),
            batch_size=batch_size,
            num_workers=num_workers,
        )

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """{"image": [B, 3, H, W], "label": [B], "file_name": list, "repeated": bool [B]}."""
        return iter(self._batches)


def _collate(num_records: int, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    repeated = torch.tensor([sample["index"] >= num_records for sample in samples])
    return {**ImageBatches()(samples), "repeated": repeated}
