"""Decide which samples form which batch, from indices alone, before any image is read."""

from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Protocol, TypeVar

import numpy as np

from eva_backbone.errors import InputError

# Number of a sample in the sequence of all processes, and its index in the dataset.
SampleIndex = tuple[int, int]


def aspect_groups(records: "MapStyleDataset[dict]") -> bytes:
    """Return the aspect ratio group of each record, as in Detectron2: 0 if it is wider than high, else 1.

    Args:
        records: The records. If they have an attribute `image_sizes`, with width and height of each, [N, 2], they are
            not read one by one.

    Raises:
        InputError: A record has no "width" or "height".
    """
    sizes = getattr(records, "image_sizes", None)
    if sizes is not None:
        return np.less_equal(sizes[:, 0], sizes[:, 1]).astype(np.uint8).tobytes()
    try:
        sides = ((records[number]["width"], records[number]["height"]) for number in range(len(records)))
        return bytes(0 if width > height else 1 for width, height in sides)
    except KeyError as error:
        raise InputError(
            f"A record of the training data has no {error}, which grouping by aspect ratio needs; "
            "add it, or set aspect_ratio_grouping=False in the loader."
        ) from error


def plan_batches(
    sampler: Iterable[int], batch_size: int, groups: bytes | None, rank: int, world_size: int
) -> Iterator[list[SampleIndex]]:
    """Yield the batches of one process without end.

    Args:
        sampler: Indices of this process: every `world_size`-th of a sequence that all processes share, from the
            `rank`-th on.
        batch_size: Number of samples per batch of this process.
        groups: Group (0 or 1) of each index in the dataset. All samples of a batch are from one group, and a batch is
            yielded when its last sample is drawn. None: batches are consecutive parts of the sequence.
        rank: Rank of this process.
        world_size: Number of processes.

    Raises:
        InputError: The sampler ends.
    """
    samples = zip(count(rank, world_size), sampler)
    if groups is None:
        while len(batch := list(islice(samples, batch_size))) == batch_size:
            yield batch
    else:
        buckets: list[list[SampleIndex]] = [[], []]
        for sample in samples:
            _, index = sample
            bucket = buckets[groups[index]]
            bucket.append(sample)
            if len(bucket) == batch_size:
                yield bucket.copy()
                bucket.clear()
    raise InputError(
        f"The training sampler {type(sampler).__name__} has ended; "
        "use an infinite one, like detectron2.data.samplers.TrainingSampler."
    )


Record_co = TypeVar("Record_co", covariant=True)


class MapStyleDataset(Protocol[Record_co]):
    """A map-style dataset: a list of records, or an object that reads record 0 to len - 1 on demand."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record_co: ...
