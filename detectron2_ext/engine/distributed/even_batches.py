"""As many batches in every process, where each forward pass needs all of them."""

from collections.abc import Iterator, Sized
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from eva_backbone.errors import InputError


class EvenBatches:
    """A finite loader that repeats its last batch until the process with the most batches is done.

    Args:
        loader: this process's batches.

    Raises:
        InputError: a process has no batch at all.
    """

    def __init__(self, loader: Sized) -> None:
        self.loader = loader
        lengths = comm.all_gather(len(loader))
        if min(lengths) == 0:
            raise InputError(
                f"there are fewer batches of test images than the {len(lengths)} processes; evaluate with fewer "
                "processes"
            )
        self.length = max(lengths)
        # Whether the batch that was last handed out is a repetition.
        self.padding = False

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        self.padding = False
        batch = None
        for batch in self.loader:
            yield batch
        self.padding = True
        for _ in range(self.length - len(self.loader)):
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
