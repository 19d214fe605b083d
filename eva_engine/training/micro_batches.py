"""Operations on the batches of any task: lists of records, tensors, or dicts and tuples of them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_backbone.errors import InputError


def count_images(batch: Any) -> int:
    """Return the length of a list of records, or of the first tensor found in a batch of tensors."""
    if isinstance(batch, Tensor):
        return len(batch)
    if isinstance(batch, Mapping):
        return count_images(next(iter(batch.values())))
    if isinstance(batch, tuple) or (batch and isinstance(batch[0], Tensor)):
        return count_images(batch[0])
    return len(batch)


def first_image(batch: Any) -> Any:
    """Return a batch that contains only the first image of `batch`."""
    return _slice(batch, 0, 1)


def file_names(batch: Any) -> list[str]:
    """Return the files of the images, if the batch or its records name them under "file_name"."""
    if isinstance(batch, Mapping):
        return [str(name) for name in batch.get("file_name", ())]
    records = batch if isinstance(batch, list) else []
    return [str(record["file_name"]) for record in records if isinstance(record, Mapping) and "file_name" in record]


def split_batch(batch: Any, num_micro_batches: int) -> list[Any]:
    """Split `batch` into micro-batches of equal size, in order.

    Raises:
        InputError: The number of images is not a multiple of `num_micro_batches`.
    """
    if num_micro_batches == 1:
        return [batch]
    num_images = count_images(batch)
    size, rest = divmod(num_images, num_micro_batches)
    if rest or size == 0:
        raise InputError(
            f"train.accumulation_steps={num_micro_batches} cannot split the {num_images} images of a process in an "
            "iteration; give a divisor of their number"
        )
    return [_slice(batch, size * index, size * (index + 1)) for index in range(num_micro_batches)]


def _slice(batch: Any, start: int, stop: int) -> Any:
    """Return images `start` to `stop` - 1 of a batch, in the structure of the batch."""
    if isinstance(batch, Mapping):
        return {key: _slice(value, start, stop) for key, value in batch.items()}
    if isinstance(batch, tuple) or (isinstance(batch, list) and batch and isinstance(batch[0], Tensor)):
        return type(batch)(_slice(value, start, stop) for value in batch)
    return batch[start:stop]
