"""What a task is to the verb `predict`: the files it takes, its model with the options, what it writes of each file."""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from tqdm import tqdm

from .inputs import Input
from .json_text import printable

Sample = TypeVar("Sample")


class FileTask(ABC, Generic[Sample]):
    """A task's model with what it takes to predict on files. Every package has its own: ``PACKAGE.prediction.Task``.

    A subclass is made of ``(cfg, weights, device, **options)``: a recipe, a weight file, and "auto" or the name of a
    torch device. Its keyword-only parameters are the options of the command that it takes, by name; one without a
    default has to be given.

    Attributes:
        kinds: of the inputs it takes, ``"image"`` or ``"video"``.
        batch_size: files that the model gets at once.
        counts: what is told at the end beside the number of files, by name.
        inputs: all that will come, known from :meth:`open` on.
        folder: where results go, which is there then.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    batch_size: int = 1
    inputs: Sequence[Input]
    folder: Path

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def open(self, stack: ExitStack) -> None:
        """Open what holds the results of all inputs, if anything does; `stack` closes it, however the run ends."""

    @abstractmethod
    def read(self, item: Input) -> Sample:
        """What :meth:`predict` needs of one file; called in threads.

        Raises:
            InputError: it cannot be read. It counts as failed, the others go on.
        """

    @abstractmethod
    def predict(self, batch: Sequence[tuple[Input, Sample]]) -> None:
        """Predict on files that could be read, and write the results.

        Raises:
            InputError: the files of this batch count as failed, the others go on.
        """

    def notes(self) -> list[str]:
        """Lines to print at the end."""
        return []


def tell(line: str) -> None:
    """Print a line of results without disturbing the progress bar."""
    tqdm.write(printable(line), file=sys.stdout)


def with_suffix(target: Path, suffix: str) -> Path:
    """`target` and `suffix`; Path.with_suffix would cut "scan.v2" to "scan"."""
    return target.with_name(target.name + suffix)
