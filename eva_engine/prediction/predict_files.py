"""Predict on many files: what fails is named and counted, the rest goes on, what is finished stays."""

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

from .file_task import FileTask, Sample
from .inputs import Input


@dataclass
class Summary:
    """Counts of what was done, by name; ``failures`` holds one sentence each, also for videos read only in part."""

    counts: Counter[str]
    failures: list[str] = field(default_factory=list)


def predict_files(
    task: FileTask,
    inputs: Sequence[Input],
    output: str | Path,
    report: Callable[[str], None] = lambda text: tqdm.write(text, file=sys.stderr),
) -> Summary:
    """Predict on every input, in their order, and write what the task writes below ``output``.

    Args:
        task: the model, of any package's ``prediction.Task``.
        inputs: from :func:`list_inputs`, of the kinds that the task takes.
        output: folder, made where missing; older results of the same names are replaced.
        report: is handed each failure when it happens.

    Raises:
        InputError: nothing can be written to ``output``.
    """
    summary = Summary(Counter({f"{kind}s": 0 for kind in task.kinds}))

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
            for start in range(0, len(inputs), task.batch_size):
                batch = inputs[start : start + task.batch_size]
                progress.set_postfix_str(batch[0].path.name)
                _predict_batch(task, batch, pool, summary, fail)
                progress.update(len(batch))
    except OSError as error:  # reading turns its own into InputError
        raise InputError(
            f"{output}: the results cannot be written ({error.strerror or error}): give another --output."
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
    # Decoders let other threads run.
    for item, sample in zip(batch, pool.map(lambda item: _read(task, item), batch), strict=True):
        if isinstance(sample, InputError):
            fail(item, sample)
        else:
            readable.append((item, sample))
    if not readable:
        return
    try:
        task.predict(readable)
    except (InputError, RuntimeError, MemoryError) as error:
        told = error if isinstance(error, InputError) else _lack_of_memory(error)
        if told is None:
            raise
        for item, _ in readable:
            fail(item, told)
    else:
        summary.counts.update(f"{item.kind}s" for item, _ in readable)


def _lack_of_memory(error: Exception) -> InputError | None:
    """What to tell of `error`; None if it is another one."""
    # On the CPU torch has no type of its own for it.
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return InputError("there is not enough memory for it; make it smaller, or give another --device.")
    return None


def _read(task: FileTask[Sample], item: Input) -> Sample | InputError:
    try:
        return task.read(item)
    except InputError as error:
        return error
