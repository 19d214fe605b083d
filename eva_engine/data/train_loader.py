"""The training loader: the same images in the same order on any number of workers, and from any batch on."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from eva_backbone.errors import InputError
from eva_engine.processes import get_rank, get_world_size, shared_random_seed

from .batching import Records, Sample, aspect_groups, plan_batches
from .numbered_samples import Failure, NumberedSamples, keep_inherited, numbered_randomness
from .shuffled_sampler import ShuffledSampler

logger = logging.getLogger(__name__)

# Of the random numbers for whole batches; those of samples have no name.
_BATCHES = 1


def build_train_loader(
    dataset: Records[dict],
    *,
    mapper: Callable[[dict], dict | None],
    sampler: Iterable[int] | None = None,
    total_batch_size: int,
    collate: Callable[[list[dict]], Any] = list,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    prefetch_factor: int | None = None,
    pin_memory: bool = False,
    seed: int | None = None,
) -> "TrainLoader":
    """In place of Detectron2's `build_detection_train_loader`; every process of the run must call it.

    Args:
        dataset: dataset dicts; a list is kept in one block of memory that the workers share.
        mapper: from a record to the model's input. Its random numbers must come from `random`, `numpy.random` or torch.
            Where it returns None, another image is drawn; after 20 in a row the run stops.
        sampler: endless indices, of which every process yields its own part, as Detectron2's training samplers do; by
            default `ShuffledSampler` with the loader's seed.
        total_batch_size: images per batch over all processes.
        collate: from the mapped records of a process to its batch, in this process; its random numbers come from where
            the mapper's do. By default the batch is the list of them.
        aspect_ratio_grouping: only wide or only high images in a batch of a process; needs "width" and "height".
        num_workers: processes that map; 0: this one does.
        prefetch_factor: images that every worker holds ready, by default 2; of no meaning without workers.
        pin_memory: copy images to page-locked memory, from where they reach a GPU faster.
        seed: of the order and the augmentations; by default one that all processes draw together from numpy's state.

    Raises:
        InputError: a batch size that does not divide among the processes, a negative seed, or records without a size.
    """
    world_size = get_world_size()
    if total_batch_size < 1 or total_batch_size % world_size:
        raise InputError(
            f"total_batch_size={total_batch_size} cannot be split among {world_size} processes; "
            f"give a multiple of {world_size}."
        )
    seed = shared_random_seed() if seed is None else seed
    if seed < 0:
        raise InputError(f"The training loader got seed={seed}; give 0 or more, or none for a random one.")
    groups = aspect_groups(dataset[number] for number in range(len(dataset))) if aspect_ratio_grouping else None
    records = dataset
    if isinstance(dataset, list):
        from detectron2.data import DatasetFromList  # dataset dicts are Detectron2's; other data sets do without

        records = DatasetFromList(dataset, copy=False)
    prefetched = prefetch_factor if num_workers else None
    return TrainLoader(
        NumberedSamples(records, mapper, seed),
        ShuffledSampler(len(records), seed) if sampler is None else sampler,
        total_batch_size // world_size,
        groups,
        collate,
        {"num_workers": num_workers, "prefetch_factor": prefetched, "pin_memory": pin_memory},
    )


class TrainLoader:
    """Endless batches, each made of a list of mapped records; made by `build_train_loader`.

    What comes is a function of the data, the seed, the sampler and the rank. Without grouping by aspect ratio all
    processes together take the same images per batch as a single one, so a run can also go on with another number of
    processes.
    """

    def __init__(
        self,
        samples: NumberedSamples,
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
        """Of the data set, on every process the same; a mapper may use up more than one for a sample."""
        return len(self._samples)

    def skip(self, num_batches: int) -> None:
        """Let the next iteration start as if `num_batches` more had been drawn; no image is read for it."""
        self._num_skipped += num_batches

    def __iter__(self) -> Iterator[Any]:
        """Batches of `batch_size` records, from the first one that is not skipped.

        Raises:
            InputError: an image that cannot be used, a sampler that ends, or a worker ended by the system.
        """
        batches = self._iterate(self._mapped(chain.from_iterable(self._planned())))
        for number, batch in enumerate(batches, start=self._num_skipped):
            with numbered_randomness(self._samples.seed, number * self._world_size + self._rank, _BATCHES):
                collated = self._collate(batch)
            yield collated

    def _planned(self) -> Iterator[list[Sample]]:
        batches = plan_batches(self._sampler, self.batch_size, self._groups, self._rank, self._world_size)
        if self._num_skipped:
            start = time.perf_counter()
            next(islice(batches, self._num_skipped - 1, None))
            logger.info("%d batches skipped in %.1f s", self._num_skipped, time.perf_counter() - start)
        return batches

    def _mapped(self, samples: Iterator[Sample]) -> Iterator[Any]:
        return iter(
            DataLoader(
                self._samples,
                # One by one: a whole batch per worker would need as many times its memory.
                batch_size=None,
                sampler=samples,
                collate_fn=_unchanged,
                # Starting the workers would draw from torch's own state otherwise.
                generator=torch.Generator().manual_seed(self._samples.seed),
                worker_init_fn=keep_inherited,
                **self._worker_options,
            )
        )

    def _iterate(self, mapped: Iterator[dict | Failure]) -> Iterator[list[dict]]:
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
                if isinstance(sample, Failure):
                    raise InputError(sample.sentence)
                batch.append(sample)
            yield batch


def _unchanged(sample: Any) -> Any:
    return sample


_ENDED = re.compile(r"DataLoader worker \(pid.*\) (?:exited unexpectedly|is killed by signal: ([^.]+))")


_MENDS = {
    "Killed": "most likely there was too little memory; lower dataloader.train.num_workers",
    "Bus error": (
        "most likely shared memory is full; enlarge /dev/shm (docker run --shm-size=8g), "
        "or lower dataloader.train.num_workers"
    ),
}


_OTHER_MEND = "run with dataloader.train.num_workers=0 to see the error itself"


def worker_failure(error: BaseException) -> InputError | None:
    """The `InputError` to raise in place of torch's error about a dead worker; None for any other error.

    torch raises it in the main process wherever that happens to be, most often while it waits for data.
    """
    if not isinstance(error, RuntimeError):
        return None
    # While it waits for data torch only says that a worker has ended; the signal is in the cause.
    ended = [match for told in (error.__cause__, error) if (match := _ENDED.match(str(told)))]
    if not ended:
        return None
    signal = ended[0].group(1)
    told = f" (signal: {signal})" if signal else ""
    return InputError(f"A process that loads images has ended{told}; {_MENDS.get(signal, _OTHER_MEND)}.")
