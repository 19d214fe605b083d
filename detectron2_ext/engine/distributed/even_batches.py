"""As many batches in every process, where each forward pass needs all of them."""

from collections.abc import Iterator
from typing import Any, Protocol

from detectron2.utils import comm

from eva_backbone.errors import InputError


class Loader(Protocol):
    """Batches of this process, and how many they are."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


def even_length(num_batches: int, what: str) -> int:
    """The most batches that a process has; every process calls it with its own number.

    Args:
        num_batches: of this process.
        what: is in them, for the error.

    Raises:
        InputError: a process has no batch at all.
    """
    lengths = comm.all_gather(num_batches)
    if min(lengths) == 0:
        raise InputError(
            f"there are fewer batches of {what} than the {len(lengths)} processes; evaluate with fewer processes."
        )
    return max(lengths)
