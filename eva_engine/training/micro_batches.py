"""Batches of any task: lists of records, tensors, or dicts and tuples of them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_backbone.errors import InputError


def count_images(batch: Any) -> int:
    """Length of a list of records, or of the first tensor found in a batch of tensors."""
    if isinstance(batch, Tensor):
        return len(batch)
    if isinstance(batch, Mapping):
        return count_images(next(iter(batch.values())))
    if isinstance(batch, tuple) or (batch and isinstance(batch[0], Tensor)):
        return count_images(batch[0])
    return len(batch)


def first_image(batch: Any) -> Any:
    """The batch of only the first image of `batch`."""
    return _part(batch, 0, 1)


def file_names(batch: Any) -> list[str]:
    """Files of the images, as far as the batch or its records name them under "file_name"."""
    if isinstance(batch, Mapping):
        return [str(name) for name in batch.get("file_name", ())]
    records = batch if isinstance(batch, list) else []
    return [str(record["file_name"]) for record in records if isinstance(record, Mapping) and "file_name" in record]


def split_batch(batch: Any, num_parts: int) -> list[Any]:
    """`batch` in `num_parts` parts of equal size, in order.

    Raises:
        InputError: the images do not divide.
    """
    if num_parts == 1:
        return [batch]
    size, rest = divmod(count_images(batch), num_parts)
    if rest or size == 0:
        raise InputError(
            f"train.accumulation_steps={num_parts} cannot split the {count_images(batch)} images that a process gets "
            "in an iteration; let it divide their number"
        )
    return [_part(batch, size * number, size * (number + 1)) for number in range(num_parts)]


def _part(batch: Any, start: int, stop: int) -> Any:
    if isinstance(batch, Mapping):
        return {key: _part(value, start, stop) for key, value in batch.items()}
    if isinstance(batch, tuple) or (isinstance(batch, list) and batch and isinstance(batch[0], Tensor)):
        return type(batch)(_part(value, start, stop) for value in batch)
    return batch[start:stop]
