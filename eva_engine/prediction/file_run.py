"""Predict on many files: report each file that fails, continue with the others, and keep finished results."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.disk_space import OutputError
from eva_engine.safe_text import printable

from .file_task import FileTask, Sample
from .inputs import Input


@dataclass
class Summary:
    """Result of a run.

    Attributes:
        counts: Numbers of finished inputs and of results, by name.
        failures: One message for each file that failed, or of which only a part could be read.
    """

    counts: Counter[str]
    failures: list[str] = field(default_factory=list)


def _print_error(message: str) -> None:
    tqdm.write(printable(message), file=sys.stderr)


def predict_files(
    task: FileTask,
    inputs: Sequence[Input],
    output: str | Path,
    report: Callable[[str], None] = _print_error,
) -> Summary:
    """Predict on every input, in order, and write the results of the task to a folder.

    Args:
        task: Task with its model.
        inputs: Inputs from :func:`list_inputs`, of the kinds that the task accepts.
        output: Folder for the results. It is created if missing; existing results of the same names are overwritten.
        report: Function that is called with a message for each failure, when it happens.

    Raises:
        InputError: Results cannot be written to `output` at all.
        OutputError: The folder has gone, or a file for the results of all inputs cannot be completed.
    """
    summary = Summary(Counter({f"{kind}s": 0 for kind in task.kinds}))
    has_started = False

    def fail(item: Input, error: InputError) -> None:
        message = str(error) if str(item.path) in str(error) else f"{item.path}: {error}"
        summary.failures.append(message)
        report(f"failed: {message}")

    try:
        with ExitStack() as stack:
            task.inputs, task.folder = inputs, Path(output)
            task.folder.mkdir(parents=True, exist_ok=True)
            task.open(stack)
            pool = stack.enter_context(ThreadPoolExecutor())
            progress = stack.enter_context(tqdm(total=len(inputs), desc="predict", unit="file"))
            folder = os.open(output, os.O_RDONLY)
            stack.callback(os.close, folder)
            has_started = True
            for start in range(0, len(inputs), task.batch_size):
                batch = inputs[start : start + task.batch_size]
                progress.set_postfix_str(printable(batch[0].path.name, 60))
                _predict_batch(task, batch, pool, summary, fail)
                progress.update(len(batch))
                if not os.path.samestat(os.fstat(folder), os.stat(output)):  # written files create their folder
                    raise OSError("the folder was moved or deleted")
    except OSError as error:  # from writing: OSErrors from reading an input have become InputErrors
        kind = OutputError if has_started else InputError
        raise kind(
            f"{output}: the results cannot be written ({error.strerror or error}); give another --output."
        ) from error
    summary.counts.update(task.counts)
    return summary


def _predict_batch(
    task: FileTask[Sample],
    batch: Sequence[Input],
    pool: ThreadPoolExecutor,
    summary: Summary,
    fail: Callable[[Input, InputError], None],
) -> None:
    readable: list[tuple[Input, Sample]] = []
    # Threads are enough, because image and video decoders release the GIL.
    for item, sample in zip(batch, pool.map(lambda item: _read(task, item), batch), strict=True):
        if isinstance(sample, InputError):
            fail(item, sample)
        else:
            readable.append((item, sample))
    if not readable:
        return
    try:
        task.predict(readable)
    except (InputError, RuntimeError, MemoryError, OSError) as error:
        if isinstance(error, InputError):
            failure = error
        elif isinstance(error, OSError):
            failure = InputError(f"the results cannot be written ({error.strerror or error}).")
        elif _is_out_of_memory(error):
            failure = InputError("there is not enough memory for it; resize it, or give another --device.")
        else:
            raise
        for item, _ in readable:
            fail(item, failure)
    else:
        summary.counts.update(f"{item.kind}s" for item, _ in readable)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error)  # on the CPU, torch raises a RuntimeError


def _read(task: FileTask[Sample], item: Input) -> Sample | InputError:
    try:
        return task.read(item)
    except InputError as error:
        return error
