"""Share the inputs of a prediction among the processes that torchrun has started.

Every process writes the files of its own inputs. What goes into files for all inputs, or is printed, waits in a file of
each process until rank 0 collects it in the order of the inputs, so that the outputs are those of a single process.
"""

import heapq
import math
import os
import pickle
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eva_engine.atomic import atomic_path
from eva_engine.processes import get_rank, get_world_size, on_all_ranks

from .inputs import Input

_FINISHED, _ENDED = ".finished", ".ended"  # files of each process: done with its inputs; will store nothing more
_SECONDS_BETWEEN_LOOKS = 0.1
# For interrupted processes to store what they have finished; torchrun kills them after 30 seconds.
_SECONDS_TO_END = 15.0


@contextmanager
def open_spool(folder: Path, keep_images: bool) -> Iterator[Callable[[int, Input, Any], None]]:
    """Yield a function that stores a result of this process: ``store(number, item, result)``.

    Results are pickled. They are read only by the processes of the run that writes them.

    Args:
        folder: Folder of the spools of all processes.
        keep_images: Whether results keep their images.
    """
    with Path(folder, f"{get_rank()}.pickle").open("wb", buffering=0) as stream:

        def store(number: int, item: Input, result: Any) -> None:
            stream.write(pickle.dumps((number, item, result if keep_images else result.without_image())))

        yield store


def read_spools(folder: Path) -> Iterator[tuple[Input, Any]]:
    """Yield the inputs and results of all spools in the order of the inputs, one at a time."""
    spools = [_read_spool(file) for file in sorted(folder.glob("*.pickle"))]
    for _, item, result in heapq.merge(*spools, key=lambda entry: entry[0]):
        yield item, result


def _read_spool(file: Path) -> Iterator[tuple[int, Input, Any]]:
    with file.open("rb") as stream:
        while True:
            try:
                yield pickle.load(stream)
            except (EOFError, pickle.UnpicklingError):  # the end, or a result that a stopped process did not complete
                return


@contextmanager
def spool_folder(output: Path) -> Iterator[Path]:
    """Create a hidden folder in the output folder for all processes; rank 0 removes it in the end."""
    folder = on_all_ranks(lambda: Path(tempfile.mkdtemp(prefix=".parts-", dir=output)))
    try:
        yield folder
    finally:
        if get_rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)


def own_share(inputs: Sequence[Input]) -> list[tuple[int, Input]]:
    """Return every N-th input with its number, where N is the number of processes; each input is in one share."""
    return list(enumerate(inputs))[get_rank() :: get_world_size()]


def end_share(folder: Path) -> None:
    """Note that this process stores no more results; on rank 0, wait until all have ended, or stop without notice."""
    (folder / f"{get_rank()}{_ENDED}").touch()
    if get_rank() == 0:
        _wait_for(_files_of_all_ranks(folder, _ENDED), _SECONDS_TO_END)


def _files_of_all_ranks(folder: Path, suffix: str) -> list[Path]:
    return [folder / f"{rank}{suffix}" for rank in range(get_world_size())]


def _wait_for(files: Sequence[Path], seconds: float = math.inf) -> None:
    end = time.monotonic() + seconds
    while not all(file.exists() for file in files) and time.monotonic() < end:
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def gather(
    folder: Path, counters: list[Counter[str]], failed: dict[Input, str]
) -> tuple[list[Counter[str]], dict[Input, str]]:
    """Return, on rank 0, the sums of each counter and the failed inputs of all processes, when all have finished.

    Rank 0 waits for files rather than in a collective operation, during which Python could not handle a stop signal.
    """
    with atomic_path(folder / f"{get_rank()}{_FINISHED}") as partial:
        partial.write_bytes(pickle.dumps((counters, failed)))
    if get_rank() > 0:
        return counters, failed
    files = _files_of_all_ranks(folder, _FINISHED)
    _wait_for(files)
    sums: list[Counter[str]] = [Counter() for _ in counters]
    all_failed: dict[Input, str] = {}
    for file in files:
        others, failed_there = pickle.loads(file.read_bytes())
        for total, other in zip(sums, others, strict=True):
            total.update(other)
        all_failed |= failed_there
    return sums, all_failed


@contextmanager
def shared_by_torchrun(device: str) -> Iterator[None]:
    """Join the processes, if torchrun has started this one, until the block ends.

    SIGTERM, with which torchrun passes Ctrl-C on, then raises KeyboardInterrupt: finished results are still collected.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    from eva_engine.training.distributed.launch import torchrun_process_group

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with torchrun_process_group("cuda" if device == "auto" else device):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
