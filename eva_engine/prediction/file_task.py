"""The interface between `predict` and a task: which files it accepts, and what it writes for each."""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from tqdm import tqdm

from eva_engine.safe_text import printable

from .inputs import Input

Sample = TypeVar("Sample")


class FileTask(ABC, Generic[Sample]):
    """Run a task's model on files and write the results; every task has a subclass, which its `Task` names.

    A subclass is constructed with ``(cfg, weights, device, **options)``: a recipe, a weight file, and "auto" or the
    name of a torch device. Its keyword-only parameters are `dtype`, for `load_trained`, and the task's options of the
    command.

    Attributes:
        kinds: Kinds of inputs that the task accepts, "image" or "video".
        batch_size: Number of files per call of `predict`.
        counts: Numbers to report at the end in addition to the number of files, by name.
        inputs: All inputs of the run; set before `open` is called.
        folder: Existing folder for the results; set before `open` is called.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    batch_size: int = 1
    inputs: Sequence[Input]
    folder: Path

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def open(self, stack: ExitStack) -> None:
        """Open files for the results of all inputs, if there are any; `stack` closes them however the run ends."""

    @abstractmethod
    def read(self, item: Input) -> Sample:
        """Read from a file what `predict` needs; called in threads.

        Raises:
            InputError: The file cannot be read. It is counted as failed, and the run continues.
        """

    @abstractmethod
    def predict(self, batch: Sequence[tuple[Input, Sample]]) -> None:
        """Run the model on files that could be read, and write the results.

        Raises:
            InputError: The files of this batch are counted as failed, and the run continues.
        """

    def notes(self) -> list[str]:
        """Return the lines to print at the end."""
        return []


def print_result(line: str) -> None:
    """Print a line of results without disturbing the progress bar."""
    tqdm.write(printable(line), file=sys.stdout)


def with_suffix(target: Path, suffix: str) -> Path:
    """Append a suffix to a file name; `Path.with_suffix` would cut "scan.v2" to "scan"."""
    return target.with_name(target.name + suffix)
