"""Checkpoints in a folder, to which every process writes its shards.

Sharded tensors are written by `torch.distributed.checkpoint`; everything else is in one file that rank 0 writes.
Reading such a folder cannot run code.
"""

import os
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed._shard._utils import narrow_tensor_by_index
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner
from torch.futures import Future

from eva_backbone.errors import InputError
from eva_engine.atomic import sync_to_disk
from eva_engine.disk_space import disk_full_as_input_error, require_disk_space
from eva_engine.processes import all_gather_objects, run_on_rank_zero
from eva_engine.safe_text import printable
from eva_engine.text_layout import join_first

from .checkpoint_index import CheckpointIndex, encode_index, read_index
from .checksummed_files import ChecksummingWriter, file_checksum
from .file_kind import INDEX_NAME
from .nested_state import KeyPath, local_tensor_bytes, named_leaves, set_nested, sharded_part, unsharded_part
from .safe_pickle import UnsafePickleError
from .single_file import read_single_file
from .torch_file import read_torch_archive
from .unsharded_checkpoint import DISK_FULL_ADVICE, save_readable

_UNSHARDED_NAME = "whole.pth"  # file with everything that is not sharded
_OPTIMIZER_STATE = ("optimizer", "state")  # has no entries for parameters that have not had a gradient yet


def write_sharded(path: Path, partial: Path, state: Mapping, group: dist.ProcessGroup | None) -> None:
    """Write a checkpoint and sync it to disk. Every process of `group` calls this function.

    Args:
        path: Final path of the checkpoint, for messages.
        partial: New folder to write to, which the caller renames afterwards.
        state: State to save. What is not sharded is taken from rank 0.
        group: Gloo group of all processes; None in a single process.

    Raises:
        InputError: The disk is full; raised in every process.
    """
    sharded, unsharded = sharded_part(state), unsharded_part(state)
    shard_bytes = all_gather_objects(group, local_tensor_bytes(sharded))
    unsharded_bytes = all_gather_objects(group, local_tensor_bytes(unsharded))
    needed = sum(shard_bytes) + unsharded_bytes[0]
    run_on_rank_zero(lambda: _create_folder(path, partial, needed), group)
    writer = ChecksummingWriter(partial)
    with disk_full_as_input_error(path, needed, DISK_FULL_ADVICE), _without_torch_checksums():
        metadata = _raise_first_failure(
            lambda: dcp.save(sharded, storage_writer=writer, planner=DefaultSavePlanner(), process_group=group)
        )
    files: dict[str, tuple[int, int]] = {}
    for written_by_rank in all_gather_objects(group, writer.files):
        files.update(written_by_rank)

    def write_rest() -> None:
        with disk_full_as_input_error(path, needed, DISK_FULL_ADVICE):
            save_readable(unsharded, partial / _UNSHARDED_NAME)
            files[_UNSHARDED_NAME] = file_checksum(partial / _UNSHARDED_NAME)
            (partial / INDEX_NAME).write_bytes(encode_index(metadata, files))
            for written in (partial / _UNSHARDED_NAME, partial / INDEX_NAME, partial):
                sync_to_disk(written)

    run_on_rank_zero(write_rest, group)


@contextmanager
def _without_torch_checksums() -> Iterator[None]:
    """Switch off torch's checksum of every tensor, which takes as long as writing it; the files have their own.

    The setting is global: what other threads save in the meantime has no checksums by torch either.
    """
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def verify_sharded(folder: Path) -> None:
    """Raise InputError unless every file of the checkpoint exists and has its size and checksum."""
    files = read_index(folder).files

    def check(name: str) -> None:
        if file_checksum(folder / name) != files[name]:
            raise InputError(f"{folder / name} is damaged (its checksum differs); use an earlier checkpoint.")

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for checked in [pool.submit(check, name) for name in files]:
            checked.result()


def read_sharded(folder: Path, entries: Collection[str] | None = None) -> dict[str, Any]:
    """Read a checkpoint in this process alone, with complete tensors on the CPU.

    Args:
        folder: Folder of the checkpoint.
        entries: Top-level entries to read, which take memory; None for all.

    Raises:
        InputError: The checkpoint is damaged.
    """
    index, content = read_index(folder), _read_unsharded_part(folder)
    tensors: dict[str, Tensor] = {}
    for name, path in index.paths.items():
        if entries is None or path[0] in entries:
            stored = index.tensor(name)
            tensors[name] = torch.empty(stored.size, dtype=stored.properties.dtype)
    _load_tensors(folder, index, tensors, None)
    if entries is not None:
        content = {key: value for key, value in content.items() if key in entries}
    for name, value in tensors.items():
        set_nested(content, index.paths[name], value)
    return content


def read_shapes(folder: Path) -> dict[str, Any]:
    """Read a checkpoint without its sharded tensors, which become zeros of the same shape that take no memory."""
    index, content = read_index(folder), _read_unsharded_part(folder)
    for name, path in index.paths.items():
        stored = index.tensor(name)
        set_nested(content, path, torch.zeros((), dtype=stored.properties.dtype).expand(stored.size))
    return content


def load_sharded(folder: Path, template: Mapping, group: dist.ProcessGroup | None) -> dict[str, Any]:
    """Load a checkpoint into the tensors of a state. Every process of `group` calls this function.

    Args:
        folder: Folder of the checkpoint.
        template: State whose tensors are overwritten. They may be sharded over any number of processes, or unsharded.
        group: Gloo group of all processes; None in a single process.

    Returns:
        The saved state with the tensors of `template`.

    Raises:
        InputError: The checkpoint is damaged, or its tensors are not those of `template`.
    """
    index, content = read_index(folder), _read_unsharded_part(folder)
    targets = {path: value.detach() for path, value in named_leaves(template) if isinstance(value, Tensor)}
    _check_tensors(folder, index, targets, {path for path, _ in named_leaves(content)})
    tensors = {name: targets[path] for name, path in index.paths.items()}
    _load_tensors(folder, index, tensors, group)
    for name, path in index.paths.items():
        set_nested(content, path, tensors[name])
    return content


def _check_tensors(
    folder: Path, index: CheckpointIndex, targets: dict[KeyPath, Tensor], unsharded: set[KeyPath]
) -> None:
    """Raise InputError unless the tensors of the checkpoint and of the run have the same names and shapes."""
    problems = []
    for name, path in index.paths.items():
        size = index.tensor(name).size
        if path not in targets:
            problems.append(f"{name} is not in this run")
        elif targets[path].shape != size:
            problems.append(f"{name} is {[*size]} there and {[*targets[path].shape]} here")
    known = unsharded | set(index.paths.values())
    # Top-level entries without sharded tensors are returned as saved and need not match: for example, the random states
    # depend on the number of processes.
    sharded_entries = {path[0] for path in index.paths.values()}
    for path in targets:
        must_match = path[0] in sharded_entries and path[:2] != _OPTIMIZER_STATE
        if must_match and path not in known:
            problems.append(f"{'.'.join(map(str, path))} is not in the checkpoint")
    if problems:
        raise InputError(
            f"{folder} does not fit this run: {join_first(problems, 3)}; resume with the config that wrote it, "
            "or use it as initial weights of a new run."
        )


class _IndexedReader(dcp.FileSystemReader):
    """torch's reader, with the description of the tensors from the index instead of a pickle."""

    def __init__(self, folder: Path, index: CheckpointIndex) -> None:
        super().__init__(folder)
        self._folder, self._index = folder, index

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:  # noqa: ARG002 (torch's signature)
        return self._index.metadata

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Copy the requested parts of chunks to their tensors; torch's method reads the chunks with `torch.load`."""
        for item in plan.items:
            location = self._index.metadata.storage_data[item.storage_index]
            chunk = read_torch_archive(self._folder / location.relative_path, location.offset, location.length)
            part = narrow_tensor_by_index(chunk, item.storage_offsets, item.lengths)
            target = planner.resolve_tensor(item).detach()
            if target.size() != part.size():
                raise ValueError(f"{item.storage_index.fqn} has a chunk of another shape")
            target.copy_(part)
            planner.commit_tensor(item, target)
        finished: Future[None] = Future()
        finished.set_result(None)
        return finished


def _load_tensors(
    folder: Path, index: CheckpointIndex, tensors: dict[str, Tensor], group: dist.ProcessGroup | None
) -> None:
    reader = _IndexedReader(folder, index)
    planner = DefaultLoadPlanner(flatten_state_dict=False)
    try:
        with warnings.catch_warnings():  # reading in a single process is intended
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            _raise_first_failure(
                lambda: dcp.load(
                    tensors, storage_reader=reader, planner=planner, process_group=group, no_dist=group is None
                )
            )
    except UnsafePickleError as error:
        raise InputError(
            f"{folder} is refused: it has Python objects ({printable(error, 150)}); use another one."
        ) from error
    except Exception as error:  # damaged files make torch's reader raise nearly any exception
        raise InputError(f"{folder} cannot be read ({printable(error, 150)}); use an earlier checkpoint.") from error


def _read_unsharded_part(folder: Path) -> dict[str, Any]:
    content = read_single_file(folder / _UNSHARDED_NAME)
    if not isinstance(content, dict):
        raise InputError(f"{folder / _UNSHARDED_NAME} is not the state of a run; use an earlier checkpoint.")
    return content


def _raise_first_failure(action: Callable[[], Any]) -> Any:
    """Return `action()`; if it fails in several processes, raise the original exception of the first of them."""
    try:
        return action()
    except CheckpointException as error:  # a BaseException whose text has the tracebacks of all processes
        failures = [failure for failure, _ in error.failures.values()]
        raise failures[0] from error


def _create_folder(path: Path, partial: Path, num_bytes: int) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    require_disk_space(path, num_bytes, DISK_FULL_ADVICE)
    partial.mkdir()
