"""The checkpoints of a training run: written beside it, kept by count, checked before they are used."""

import functools
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from torch.distributed.tensor import DTensor

from eva_backbone.errors import InputError
from eva_engine.processes import is_rank_zero, new_cpu_group, run_on_rank_zero

from .background import BackgroundTask
from .file_checkpoint import verify_file, write_file
from .files import read_file
from .nested_state import named_leaves
from .run_folder import RunFolder
from .sharded_checkpoint import load_folder, verify_folder, write_folder
from .staging import StagingBuffers

logger = logging.getLogger(__name__)


class RunCheckpoints:
    """Saves and finds the checkpoints of a run. Every process of the run makes one and calls the same methods.

    A state is a nested dictionary with a top-level entry "model" of weights by name. Without sharded tensors it becomes
    one file NAME.pth, written by the first process; with them a folder NAME, to which every process writes its part.
    A checkpoint has its name only when it is complete and on disk; `last_checkpoint` is changed after that, and older
    ones are deleted last. What a killed run left half written is removed at the start of the next one.
    """

    def __init__(self, folder: str | os.PathLike, *, max_to_keep: int, asynchronous: bool = True) -> None:
        """
        Args:
            folder: the output folder of the run; made where it is missing. Only one run may write to it.
            max_to_keep: how many numbered checkpoints stay, the newest ones.
            asynchronous: copy the state to memory of the CPU and write it while training goes on.
        """
        if max_to_keep < 1:
            raise InputError(f"train.checkpointer.max_to_keep is {max_to_keep}; set it to 1 or more.")
        self._folder = RunFolder(Path(folder))
        self._max_to_keep = max_to_keep
        self._group = new_cpu_group()
        self._buffers = StagingBuffers() if asynchronous else None
        self._writing = BackgroundTask("checkpoint")
        run_on_rank_zero(self._group, self._prepare)

    def save(self, name: str, state: dict[str, Any], *, counted: bool = True) -> None:
        """Save `state` as `name`, such as "model_0000099", after an earlier save has ended.

        Asynchronously, it returns when `state` is copied and may be changed. What is not sharded is taken from the
        first process.

        counted: False for a checkpoint that is kept apart from the others, such as the best one: it is never deleted,
        and runs are not resumed from it.

        Raises the error of the save before, and its own where it is not asynchronous: InputError when the disk is full,
        which leaves earlier checkpoints as they were.
        """
        self.wait()
        sharded = any(isinstance(value, DTensor) for _, value in named_leaves(state))
        if not sharded and not is_rank_zero(self._group):
            return
        write = self._write_folder if sharded else self._write_file
        if self._buffers is None:
            write(name, state, counted)
        else:
            self._writing.start(functools.partial(write, name, self._buffers.copy(state), counted))

    def wait(self) -> None:
        """Return when nothing is being written any more; raises the error of a write that has failed, once."""
        self._writing.wait()

    def poll(self) -> None:
        """Raise the error of a write that has failed since the last call; else return at once."""
        self._writing.poll()

    def find_last(self) -> Path | None:
        """The newest checkpoint that is intact; each damaged one on the way is named in the log. None if there is none.

        Raises InputError when there are some and all are damaged or gone.
        """
        self.wait()
        return run_on_rank_zero(self._group, self._find_last)

    def load(self, path: str | os.PathLike, template: dict[str, Any]) -> dict[str, Any]:
        """The state saved as `path`, as :func:`find_last` gives it.

        Of a file, its content, mapped into memory. Of a folder, the sharded tensors are loaded into the tensors at the
        same places of `template`, sharded among any number of processes or whole; everything else is as saved.

        Raises InputError when it cannot be read or, for a folder, has other tensors than `template`.
        """
        path = Path(path)
        return load_folder(path, template, self._group) if path.is_dir() else read_file(path)

    def _prepare(self) -> None:
        self._folder.path.mkdir(parents=True, exist_ok=True)
        self._folder.clean()

    def _write_file(self, name: str, state: dict[str, Any], counted: bool) -> None:
        path = self._folder.path / f"{name}.pth"
        write_file(path, state)
        self._finish(path, counted)

    def _write_folder(self, name: str, state: dict[str, Any], counted: bool) -> None:
        partial = self._folder.partial_folder(name)
        try:
            write_folder(self._folder.path / name, partial, state, self._group)
        except Exception:
            if is_rank_zero(self._group):
                shutil.rmtree(partial, ignore_errors=True)
            raise

        def publish() -> None:
            self._folder.publish_folder(name)
            self._finish(self._folder.path / name, counted)

        run_on_rank_zero(self._group, publish)

    def _finish(self, path: Path, counted: bool) -> None:
        if counted:
            self._folder.point_at(path.name)
            self._folder.prune(self._max_to_keep)
        logger.info("Saved the checkpoint %s", path)

    def _find_last(self) -> Path | None:
        candidates, last = self._folder.checkpoints(), self._folder.last()
        for path in candidates:
            try:
                (verify_folder if path.is_dir() else verify_file)(path)
            except InputError as error:
                logger.warning("The checkpoint %s is not used, but one before it: %s", path, error)
            else:
                return path
        names = ", ".join(path.name for path in (candidates or (() if last is None else (last,))))
        if names:
            raise InputError(
                f"{self._folder.path} holds no intact checkpoint ({names}: damaged or gone); put one back, or start a "
                "new run in another train.output_dir."
            )
        return None
