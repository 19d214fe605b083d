"""Which images make up which batch: decided from indices alone, before any image is read."""

from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Protocol, TypeVar

from eva_backbone.errors import InputError

# Number of the sample in the stream that all processes share, and index into the data set.
Sample = tuple[int, int]


def aspect_groups(records: Iterable[dict]) -> bytes:
    """0 for each record that is wider than high, else 1, as Detectron2 groups them.

    Raises:
        InputError: a record without a size.
    """
    try:
        return bytes(0 if record["width"] > record["height"] else 1 for record in records)
    except KeyError as error:
        raise InputError(
            f"A record of the training data has no {error}, by which images are grouped; "
            "add it, or give the loader aspect_ratio_grouping=False."
        ) from error


def plan_batches(
    sampler: Iterable[int], batch_size: int, groups: bytes | None, rank: int, world_size: int
) -> Iterator[list[Sample]]:
    """The batches of one process, for ever.

    Args:
        sampler: this process's part of the shared stream of indices: every `world_size`-th, from the `rank`-th on.
        groups: group (0 or 1) of each index. A batch holds one group; it comes when its last image is drawn. None: the
            batches are consecutive parts of the stream.

    Raises:
        InputError: the sampler ends.
    """
    samples = zip(count(rank, world_size), sampler)
    if groups is None:
        while len(batch := list(islice(samples, batch_size))) == batch_size:
            yield batch
    else:
        buckets: list[list[Sample]] = [[], []]
        for sample in samples:
            bucket = buckets[groups[sample[1]]]
            bucket.append(sample)
            if len(bucket) == batch_size:
                yield bucket.copy()
                bucket.clear()
    raise InputError(
        f"The training sampler {type(sampler).__name__} has come to its end; "
        "give one that goes on for ever, like detectron2.data.samplers.TrainingSampler."
    )


Record_co = TypeVar("Record_co", covariant=True)


class Records(Protocol[Record_co]):
    """A list of records or what reads them when asked for; numbers go from 0 to len - 1."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record_co: ...
