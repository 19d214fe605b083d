"""The interface between `predict` and a task: which files it accepts, and what it writes for each."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from tqdm import tqdm

from eva_engine.safe_text import printable

from .inputs import Input
from .predictor import Predictor


class FileTask:
    """Run a predictor on files and write its results; every task has a subclass, which its `Task` names.

    A subclass is constructed with ``(predictor, **options)``. Its keyword-only parameters are the task's options of the
    command that concern the written files.

    Args:
        predictor: Predictor of the task.

    Attributes:
        kinds: Kinds of inputs that the task accepts, "image" or "video".
        collects_images: Whether `collect` needs the images of results.
        counts: Numbers to report at the end in addition to the number of files, by name.
        all_remarks: The `remarks` of all processes; set at the end of the run.
        inputs: All inputs of the run; set before `open` is called.
        folder: Existing folder for the results; set before `open` is called.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    collects_images: bool = False
    inputs: Sequence[Input]
    folder: Path

    def __init__(self, predictor: Predictor[Any, Any]) -> None:
        self.predictor = predictor
        self.counts: Counter[str] = Counter()
        self.all_remarks: Counter[str] = Counter()

    def open(self, stack: ExitStack) -> None:
        """Open the files that `collect` writes, if there are any; `stack` closes them however the run ends."""

    def read(self, item: Input) -> Any:
        """Read from a file what the predictor needs; called in threads.

        Raises:
            InputError: The file cannot be read. It is counted as failed, and the run continues.
        """
        return self.predictor.read(item)

    def write(self, item: Input, result: Any) -> None:
        """Write the files of one input, if there are any; called in threads.

        Raises:
            InputError: The result cannot be written. The file is counted as failed, and the run continues.
        """

    def collect(self, item: Input, result: Any) -> None:
        """Print a result, count it, and add it to the files for all inputs, if there are any.

        It is called in the order of the inputs, after `write`.

        If several processes share the inputs, only rank 0 calls it, at the end, for the results of all of them.
        """

    def predict_video(self, item: Input) -> None:
        """Predict on a video frame by frame and write the results, for predictors that accept only images.

        Raises:
            InputError: The video is counted as failed, and the run continues.
        """
        raise NotImplementedError

    def remarks(self) -> Counter[str]:
        """Return the remarks on the predictions of this process; see `Predictor.remarks`."""
        return self.predictor.remarks()

    def notes(self) -> list[str]:
        """Return the lines to print at the end."""
        return [remark.replace("{}", str(number)) for remark, number in self.all_remarks.items() if number]


def print_result(line: str) -> None:
    """Print a line of results without disturbing the progress bar."""
    tqdm.write(printable(line), file=sys.stdout)


def with_suffix(target: Path, suffix: str) -> Path:
    """Append a suffix to a file name; `Path.with_suffix` would cut "scan.v2" to "scan"."""
    return target.with_name(target.name + suffix)
