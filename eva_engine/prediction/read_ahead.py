"""Read and prepare files in threads while the model computes, and form batches of them."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from eva_backbone.errors import InputError

Item = TypeVar("Item")
Sample = TypeVar("Sample")
MAX_THREADS = 8


def read_ahead(
    read: Callable[[Item], Sample], items: Iterable[Item], num_ahead: int
) -> Generator[tuple[Item, Sample | InputError]]:
    """Yield each item with what `read` returns for it, in order, while up to `num_ahead` further ones are read.

    Threads are enough, because image and video decoders release the GIL. Items are taken from the iterable only when
    there is room for them, so that it can be a stream without an end.

    Args:
        read: Function that reads an item; an InputError that it raises is yielded in place of the sample.
        items: What to read.
        num_ahead: Number of items that are read or wait while the caller works on one.
    """

    def try_to_read(item: Item) -> Sample | InputError:
        try:
            return read(item)
        except InputError as error:
            return error
        except MemoryError:
            return InputError("there is not enough memory to read it; resize it.")

    pending: deque[tuple[Item, Future[Sample | InputError]]] = deque()
    pool = ThreadPoolExecutor(min(num_ahead, MAX_THREADS), "read")
    try:
        for item in items:
            pending.append((item, pool.submit(try_to_read, item)))
            if len(pending) > num_ahead:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_batches(
    read: Callable[[Item], Sample],
    items: Iterable[Item],
    batch_size: int,
    on_failure: Callable[[Item, InputError], None],
) -> Generator[list[tuple[Item, Sample]]]:
    """Yield batches of items with their samples, in order; the next batch is read during the work on one.

    Args:
        read: Function that reads an item.
        items: What to read.
        batch_size: Number of items per batch; the last one can be smaller. Items that cannot be read are left out, and
            the batch is filled with later ones.
        on_failure: Function that is called with each item that cannot be read, and the error.
    """
    batch: list[tuple[Item, Sample]] = []
    with closing(read_ahead(read, items, batch_size)) as samples:
        for item, sample in samples:
            if isinstance(sample, InputError):
                on_failure(item, sample)
                continue
            batch.append((item, sample))
            if len(batch) == batch_size:
                yield batch
                batch = []
    if batch:
        yield batch
