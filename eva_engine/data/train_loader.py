"""The training loader: the order of images does not depend on the number of workers, and any batch can be the first."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from eva_backbone.errors import InputError
from eva_engine.processes import get_rank, get_world_size, shared_random_seed

from .batching import MapStyleDataset, SampleIndex, aspect_groups, plan_batches
from .samplers import ShuffledSampler
from .seeded_dataset import SampleError, SeededDataset, seeded_randomness
from .workers import TIMEOUT, worker_failure, worker_options

logger = logging.getLogger(__name__)

_BATCH_STREAM = 1  # stream of random numbers for collating batches; those of samples have no stream


def build_train_loader(
    dataset: MapStyleDataset[dict],
    *,
    mapper: Callable[[dict], dict | None],
    sampler: Iterable[int] | None = None,
    total_batch_size: int,
    collate: Callable[[list[dict]], Any] = list,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    prefetch_factor: int | None = None,
    pin_memory: bool = False,
    timeout: float = TIMEOUT,
    seed: int | None = None,
) -> "TrainLoader":
    """Build the training loader, which replaces Detectron2's; every process of the run must call this function.

    Args:
        dataset: Dataset dicts. A list is stored in one block of memory, which the workers share; other sequences read
            or make a record when it is asked for.
        mapper: Function from a record to the model's input. Its random numbers must come from `random`, `numpy.random`
            or torch. If it returns None, another record is drawn; after 20 in a row, the run stops.
        sampler: Infinite indices, of which every process yields its own part, like Detectron2's training samplers; by
            default `ShuffledSampler` with the seed of the loader.
        total_batch_size: Number of images per batch over all processes.
        collate: Function that makes a batch of the mapped records of a process, and runs in this process. Its random
            numbers must have the same sources as those of the mapper. By default, the list itself is the batch.
        aspect_ratio_grouping: Put either wide or high images in a batch of a process, which needs "width" and "height".
        num_workers: Number of processes that load images; 0 loads in this process.
        prefetch_factor: Number of images that each worker loads in advance, by default 2; ignored without workers.
        pin_memory: Copy images to page-locked memory, from which transfers to a GPU are faster.
        timeout: Seconds after which the run stops if the workers deliver nothing; 0 waits without limit.
        seed: Random seed of the order and the augmentations; by default, all processes draw one together from numpy's
            global generator.

    Raises:
        InputError: `total_batch_size` is not divisible by the number of processes, another number is negative, or
            records do not have the size that `aspect_ratio_grouping` needs.
    """
    world_size = get_world_size()
    if total_batch_size < 1 or total_batch_size % world_size:
        raise InputError(
            f"total_batch_size={total_batch_size} cannot be divided among {world_size} processes; "
            f"use a multiple of {world_size}."
        )
    seed = shared_random_seed() if seed is None else seed
    if seed < 0:
        raise InputError(f"The training loader got seed={seed}; use 0 or more, or None for a random one.")
    groups = aspect_groups(dataset) if aspect_ratio_grouping else None
    records = dataset
    if isinstance(dataset, list):
        from detectron2.data import DatasetFromList  # only lists of Detectron2's dataset dicts need it

        records = DatasetFromList(dataset, copy=False)
    if sampler is None:
        sampler = ShuffledSampler(len(records), seed)
    if num_workers == 0:
        prefetch_factor = None  # torch accepts no other value without workers
    return TrainLoader(
        SeededDataset(records, mapper, seed),
        sampler,
        total_batch_size // world_size,
        groups,
        collate,
        worker_options(num_workers, timeout) | {"prefetch_factor": prefetch_factor, "pin_memory": pin_memory},
    )


class TrainLoader:
    """Yields batches without end; built by `build_train_loader`.

    The batches depend only on the data, the seed, the sampler and the rank. Without grouping by aspect ratio, all
    processes together load the same images per batch as a single process would, so that a run can be resumed with
    another number of processes.
    """

    def __init__(
        self,
        samples: SeededDataset,
        sampler: Iterable[int],
        batch_size: int,
        groups: bytes | None,
        collate: Callable[[list[dict]], Any],
        worker_options: dict[str, Any],
    ) -> None:
        self.batch_size = batch_size
        self._samples = samples
        self._sampler = sampler
        self._groups = groups
        self._collate = collate
        self._worker_options = worker_options
        self._rank, self._world_size = get_rank(), get_world_size()
        self._num_skipped = 0

    @property
    def num_records(self) -> int:
        """Number of records in the dataset; a mapper may need more than one for a sample."""
        return len(self._samples)

    def skip(self, num_batches: int) -> None:
        """Start the next iteration `num_batches` batches later, without reading the images of the skipped batches."""
        self._num_skipped += num_batches

    def __iter__(self) -> Iterator[Any]:
        """Yield batches of `batch_size` records, from the first one that is not skipped.

        Raises:
            InputError: An image cannot be used, the sampler ends, a worker is killed, or the workers deliver nothing
                for `timeout` seconds.
        """
        batches = self._iterate(self._mapped(chain.from_iterable(self._planned())))
        for number, batch in enumerate(batches, start=self._num_skipped):
            with seeded_randomness(self._samples.seed, number * self._world_size + self._rank, _BATCH_STREAM):
                collated = self._collate(batch)
            yield collated

    def _planned(self) -> Iterator[list[SampleIndex]]:
        batches = plan_batches(self._sampler, self.batch_size, self._groups, self._rank, self._world_size)
        if self._num_skipped:
            start = time.perf_counter()
            next(islice(batches, self._num_skipped - 1, None))
            logger.info("%d batches skipped in %.1f s", self._num_skipped, time.perf_counter() - start)
        return batches

    def _mapped(self, samples: Iterator[SampleIndex]) -> Iterator[Any]:
        return iter(
            DataLoader(
                self._samples,
                # Samples one by one: if each worker loaded a batch, they would need that many times a batch's memory.
                batch_size=None,
                sampler=samples,
                collate_fn=_unchanged,
                # Without a generator, starting the workers would draw from torch's global one.
                generator=torch.Generator().manual_seed(self._samples.seed),
                **self._worker_options,
            )
        )

    def _iterate(self, mapped: Iterator[dict | SampleError]) -> Iterator[list[dict]]:
        while True:
            batch = []
            for _ in range(self.batch_size):
                try:
                    sample = next(mapped)
                except RuntimeError as error:
                    failure = worker_failure(error)
                    if failure is None:
                        raise
                    raise failure from error
                if isinstance(sample, SampleError):
                    raise InputError(sample.message)
                batch.append(sample)
            yield batch


def _unchanged(sample: Any) -> Any:
    return sample
