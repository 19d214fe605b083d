"""As many batches in every process, where each forward pass needs all of them."""

from collections.abc import Iterator
from typing import Any, Protocol

from detectron2.evaluation import DatasetEvaluator
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


class EvenBatches:
    """A finite loader that repeats its last batch until the process with the most batches is done.

    Args:
        loader: this process's batches.

    Raises:
        InputError: a process has no batch at all.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.length = even_length(len(loader), "test images")
        # Whether the batch that was last handed out is a repetition.
        self.padding = False

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        self.padding = False
        num_given, batch = 0, None
        for batch in self.loader:
            num_given += 1
            yield batch
        self.padding = True
        for _ in range(self.length - num_given):
            yield batch


def ignore_padding(evaluator: DatasetEvaluator, batches: EvenBatches) -> DatasetEvaluator:
    """`evaluator`, which does not see the repeated batches of `batches`."""
    return _WithoutPadding(evaluator, batches)


class _WithoutPadding(DatasetEvaluator):
    def __init__(self, evaluator: DatasetEvaluator, batches: EvenBatches) -> None:
        self.evaluator = evaluator
        self.batches = batches

    def reset(self) -> None:
        self.evaluator.reset()

    def process(self, inputs: Any, outputs: Any) -> None:
        if not self.batches.padding:
            self.evaluator.process(inputs, outputs)

    def evaluate(self) -> Any:
        return self.evaluator.evaluate()
