"""Predict on many files: report each file that fails, continue with the others, and keep finished results."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.disk_space import OutputError
from eva_engine.processes import get_rank, get_world_size
from eva_engine.safe_text import printable

from .file_task import FileTask
from .inputs import Input
from .predictor import Predictor
from .read_ahead import read_batches
from .shared_run import end_share, gather, open_spool, own_share, read_spools, spool_folder
from .write_behind import WriteBehind, writing_error


@dataclass
class Summary:
    """Result of a run.

    Attributes:
        counts: Numbers of finished inputs and of results, by name.
        failed: Message for each input that failed, or of which only a part could be read, in the order of the inputs.
    """

    counts: Counter[str]
    failed: dict[Input, str] = field(default_factory=dict)

    @property
    def failures(self) -> list[str]:
        """The messages of `failed`."""
        return list(self.failed.values())


def _print_error(message: str) -> None:
    tqdm.write(printable(message), file=sys.stderr)


def predict_files(
    task: FileTask,
    inputs: Sequence[Input],
    output: str | Path,
    report: Callable[[str], None] = _print_error,
) -> Summary:
    """Predict on every input, in order, and write the results of the task to a folder.

    Reading the next files, the model, and writing the last results overlap. In a process group, the processes share the
    inputs, and the outputs are those of a single process.

    Args:
        task: Task with its predictor.
        inputs: Inputs from :func:`list_inputs`, of the kinds that the task accepts; the same in all processes.
        output: Folder for the results. It is created if missing; existing results of the same names are overwritten.
        report: Function that is called with a message for each failure, when it happens.

    Returns:
        The summary; on rank 0 that of all processes.

    Raises:
        InputError: Results cannot be written to `output` at all.
        OutputError: The folder has gone, or a file for the results of all inputs cannot be completed.
    """
    summary = Summary(Counter({f"{kind}s": 0 for kind in task.kinds}))
    has_started = False
    try:
        with ExitStack() as stack:
            task.inputs, task.folder = inputs, Path(output)
            task.folder.mkdir(parents=True, exist_ok=True)
            if get_rank() == 0:
                task.open(stack)
            has_started = True
            if get_world_size() > 1:
                _predict_own_share(task, inputs, summary, report)
            else:
                _predict_inputs(task, inputs, task.collect, summary, report)
                task.all_remarks = task.remarks()
    except OSError as error:  # from writing: OSErrors from reading an input have become InputErrors
        kind = OutputError if has_started else InputError
        raise kind(
            f"{output}: the results cannot be written ({error.strerror or error}); give another --output."
        ) from error
    summary.counts.update(task.counts)
    summary.failed = {item: summary.failed[item] for item in inputs if item in summary.failed}
    return summary


def _predict_inputs(
    task: FileTask,
    inputs: Sequence[Input],
    collect: Callable[[Input, Any], None],
    summary: Summary,
    report: Callable[[str], None],
) -> None:
    """Predict on inputs in this process, write their files, and pass their results to `collect`."""

    def fail(item: Input, error: InputError) -> None:
        message = str(error) if item.name in str(error) else f"{item.name}: {error}"
        summary.failed[item] = message
        report(f"failed: {message}")
        progress.update()

    def finish(item: Input, error: InputError | None) -> None:
        if error is not None:
            fail(item, error)
            return
        summary.counts[f"{item.kind}s"] += 1
        progress.update()

    def finish_result(item: Input, result: Any, error: InputError | None) -> None:
        finish(item, error or writing_error(lambda: collect(item, result)))

    with (
        tqdm(total=len(inputs), desc="predict", unit="file", disable=get_rank() > 0) as progress,
        WriteBehind(task.write, finish_result, task.folder) as writer,
    ):
        # Consecutive files of a kind, because videos that are predicted frame by frame cannot be in a batch.
        for is_batched, group in groupby(inputs, lambda item: item.kind in task.predictor.kinds):
            if is_batched:
                with closing(read_batches(task.read, group, task.predictor.batch_size, fail)) as batches:
                    for batch in batches:
                        progress.set_postfix_str(printable(batch[0][0].path.name, 60))
                        for item, result in predict_batch(task.predictor, batch, fail):
                            writer.add(item, result)
            else:
                writer.wait()
                for item in group:
                    finish(item, _predict_video(task, item))
                    writer.check_folder()


def _predict_own_share(
    task: FileTask,
    inputs: Sequence[Input],
    summary: Summary,
    report: Callable[[str], None],
) -> None:
    """Predict on this process's share of the inputs; rank 0 collects the results of all processes in the end."""
    share = own_share(inputs)
    number_of = {item: number for number, item in share}
    with spool_folder(task.folder) as folder:
        try:
            with open_spool(folder, task.collects_images) as store:

                def collect(item: Input, result: Any) -> None:
                    store(number_of[item], item, result)

                _predict_inputs(task, list(number_of), collect, summary, report)
            counters = [summary.counts, task.counts, task.remarks()]
            (summary.counts, task.counts, task.all_remarks), summary.failed = gather(folder, counters, summary.failed)
        finally:  # also after an interruption, so that nothing finished is lost
            end_share(folder)
            if get_rank() == 0:
                for item, result in read_spools(folder):
                    task.collect(item, result)


def predict_batch(
    predictor: Predictor[Any, Any], batch: Sequence[tuple[Any, Any]], fail: Callable[[Any, InputError], None]
) -> Iterator[tuple[Any, Any]]:
    """Yield the items of a batch with their results; after an error, each item is tried alone.

    Args:
        predictor: The predictor.
        batch: Items with their samples.
        fail: Function that is called with each item that cannot be predicted, and the error.
    """
    results = _try_to_predict(predictor, [sample for _, sample in batch])
    if not isinstance(results, InputError):
        for (item, _), result in zip(batch, results, strict=True):
            yield item, result
    elif len(batch) == 1:
        fail(batch[0][0], results)
    else:
        for pair in batch:
            yield from predict_batch(predictor, [pair], fail)


def _try_to_predict(predictor: Predictor[Any, Any], samples: Sequence[Any]) -> list[Any] | InputError:
    try:
        return predictor.predict(samples)
    except (InputError, RuntimeError, MemoryError) as error:
        return _failure(error)


def _predict_video(task: FileTask, item: Input) -> InputError | None:
    try:
        task.predict_video(item)
    except (InputError, RuntimeError, MemoryError, OSError) as error:
        return _failure(error)
    return None


def _failure(error: Exception) -> InputError:
    """Return an error that concerns only the current inputs as an InputError; raise any other."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError):
        return InputError(f"the results cannot be written ({error.strerror or error}).")
    if _is_out_of_memory(error):
        return InputError("there is not enough memory for it; resize it, or give another --device.")
    raise error


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error)  # on the CPU, torch raises a RuntimeError
