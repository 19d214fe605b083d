"""Save the checkpoints of a training run in the background, keep the newest ones, and verify them before use."""

import functools
import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch.distributed.tensor import DTensor

from eva_backbone.errors import InputError
from eva_engine.processes import is_rank_zero, new_cpu_group, run_on_rank_zero

from .cpu_copy import CpuStateCopier
from .files import read_file
from .nested_state import named_leaves
from .run_folder import RunFolder
from .sharded_checkpoint import load_sharded, verify_sharded, write_sharded
from .unsharded_checkpoint import verify_unsharded, write_unsharded

logger = logging.getLogger(__name__)


class RunCheckpoints:
    """Save and find the checkpoints of a run. Every process of the run creates one and calls the same methods.

    A state is a nested dictionary with a top-level entry "model", which contains the weights by name. Without sharded
    tensors, it is saved in one file NAME.pth, which rank 0 writes; with sharded tensors, in a folder NAME, to which
    every process writes its shards. A checkpoint gets its name when it is complete and on disk; then `last_checkpoint`
    is updated, and last, older checkpoints are deleted. Incomplete files of a killed run are removed when the next run
    starts.
    """

    def __init__(self, folder: str | os.PathLike, *, max_to_keep: int, asynchronous: bool = True) -> None:
        """
        Args:
            folder: Output folder of the run; it is created if missing. Only one run may write to it at a time.
            max_to_keep: Number of numbered checkpoints to keep, the newest ones.
            asynchronous: Copy the state to CPU memory, and write it while training continues.
        """
        if max_to_keep < 1:
            raise InputError(f"train.checkpointer.max_to_keep is {max_to_keep}; set it to 1 or more.")
        self._folder = RunFolder(Path(folder))
        self._max_to_keep = max_to_keep
        self._group = new_cpu_group()
        self._copier = CpuStateCopier() if asynchronous else None
        self._writing = _BackgroundTask("checkpoint")
        run_on_rank_zero(self._prepare, self._group)

    def save(self, name: str, state: dict[str, Any], *, counted: bool = True) -> None:
        """Save `state`, after an earlier save has ended.

        In the asynchronous mode, this returns as soon as `state` has been copied and may be changed.

        Args:
            name: Name of the checkpoint, such as "model_0000099".
            state: State to save. What is not sharded is taken from rank 0.
            counted: False for a checkpoint that is not one of the sequence, such as the best one: it is never deleted,
                and runs are not resumed from it.

        Raises:
            InputError: The disk is full. Earlier checkpoints are unchanged.
            Exception: Any other error of the previous save or, in the synchronous mode, of this one.
        """
        self.wait()
        sharded = any(isinstance(value, DTensor) for _, value in named_leaves(state))
        if not sharded and not is_rank_zero(self._group):
            return
        write = self._write_sharded if sharded else self._write_unsharded
        if self._copier is None:
            write(name, state, counted)
        else:
            self._writing.start(functools.partial(write, name, self._copier.copy(state), counted))

    def wait(self) -> None:
        """Wait until nothing is being written any more, and raise the error of a failed write, once."""
        self._writing.wait()

    def poll(self) -> None:
        """Raise the error of a write that has failed since the last call; never wait."""
        self._writing.poll()

    def find_last(self) -> Path | None:
        """Return the newest intact checkpoint, or None if there are no checkpoints; log each damaged one.

        Raises:
            InputError: There are checkpoints, but all of them are damaged or missing.
        """
        self.wait()
        return run_on_rank_zero(self._find_last, self._group, broadcast_result=True)

    def load(self, path: str | os.PathLike, template: dict[str, Any]) -> dict[str, Any]:
        """Return the state that was saved at `path`.

        Args:
            path: Checkpoint, as `find_last` returns it.
            template: State with the tensors to load into, if the checkpoint is a folder. They may be sharded over any
                number of processes, or unsharded.

        Returns:
            For a file, its content, mapped into memory. For a folder, the saved state with the tensors of `template`.

        Raises:
            InputError: The checkpoint cannot be read, or its tensors are not those of `template`.
        """
        path = Path(path)
        if path.is_dir():
            return load_sharded(path, template, self._group)
        return read_file(path)

    def _prepare(self) -> None:
        self._folder.path.mkdir(parents=True, exist_ok=True)
        self._folder.clean()

    def _write_unsharded(self, name: str, state: dict[str, Any], counted: bool) -> None:
        path = self._folder.path / f"{name}.pth"
        os.stat(path.parent)  # a folder that was moved or deleted is not created again
        write_unsharded(path, state)
        self._finish(path, counted)

    def _write_sharded(self, name: str, state: dict[str, Any], counted: bool) -> None:
        partial = self._folder.partial_folder(name)
        try:
            write_sharded(self._folder.path / name, partial, state, self._group)
        except Exception:
            if is_rank_zero(self._group):
                shutil.rmtree(partial, ignore_errors=True)
            raise

        def publish() -> None:
            self._folder.publish_folder(name)
            self._finish(self._folder.path / name, counted)

        run_on_rank_zero(publish, self._group)

    def _finish(self, path: Path, counted: bool) -> None:
        if counted:
            self._folder.set_last(path.name)
            self._folder.prune(self._max_to_keep)
        logger.info("Saved the checkpoint %s", path)

    def _find_last(self) -> Path | None:
        candidates = self._folder.checkpoints()
        for path in candidates:
            try:
                if path.is_dir():
                    verify_sharded(path)
                else:
                    verify_unsharded(path)
            except InputError as error:
                logger.warning("The checkpoint %s is not used, trying an earlier one: %s", path, error)
            else:
                return path
        last = self._folder.last()
        if not candidates and last is not None:
            candidates = [last]
        if candidates:
            names = ", ".join(path.name for path in candidates)
            raise InputError(
                f"{self._folder.path} has no intact checkpoint ({names}: damaged or missing); restore one, or start a "
                "new run in another train.output_dir."
            )
        return None


class _BackgroundTask:
    """Run one function at a time in a thread; the process does not exit before it has finished."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._task: Future[None] | None = None

    def start(self, function: Callable[[], None]) -> None:
        """Start `function` when the previous one has finished; raises the error of the previous one."""
        self.wait()
        self._task = self._thread.submit(_log_failure, function)

    def poll(self) -> None:
        """Raise the error of a function that has failed, once; never wait."""
        if self._task is not None and self._task.done():
            self.wait()

    def wait(self) -> None:
        """Wait until no function is running, and raise the error of one that has failed, once."""
        task, self._task = self._task, None
        if task is not None:
            task.result()


def _log_failure(function: Callable[[], None]) -> None:
    try:
        function()
    except Exception as error:  # also logged, since nobody asks for the result if the process is about to exit
        logger.error("%s", error)
        raise
