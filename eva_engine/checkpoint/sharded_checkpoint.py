"""A checkpoint in a folder, to which every process writes its part of the sharded tensors.

The sharded tensors go through `torch.distributed.checkpoint`; everything else is one file of the first process. Nothing
in such a folder is read in a way that could run code.
"""

import os
import pickle
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
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import Metadata

from eva_backbone.errors import InputError
from eva_engine.atomic import sync_to_disk
from eva_engine.processes import all_gather_objects, run_on_rank_zero

from .checksummed_files import ChecksummingWriter, file_checksum
from .disk_space import full_disk_as_input_error, require_space
from .file_checkpoint import save_readable
from .file_kind import INDEX_NAME
from .nested_state import KeyPath, named_leaves, put, sharded_part, tensor_bytes, whole_part
from .shard_index import ShardIndex, index_content, read_index
from .single_file import read_single_file

_WHOLE_NAME = "whole.pth"  # what is not sharded
_MOMENTS = ("optimizer", "state")  # where parameters without a gradient so far have no entries


def write_folder(path: Path, partial: Path, state: Mapping, group: dist.ProcessGroup | None) -> None:
    """Write the checkpoint `path` of `state` to the new folder `partial`, which the caller gives its name.

    Every process of `group` calls it; what is not sharded is taken from the first one. All is on disk when it returns.
    Raises InputError on every process when the disk is full.
    """
    sharded, whole = sharded_part(state), whole_part(state)
    needed = sum(all_gather_objects(group, tensor_bytes(sharded))) + all_gather_objects(group, tensor_bytes(whole))[0]
    run_on_rank_zero(group, lambda: _make_folder(path, partial, needed))
    writer = ChecksummingWriter(partial)
    with full_disk_as_input_error(path, needed), _pieces_without_checksums():
        tensors = _first_failure(
            lambda: dcp.save(sharded, storage_writer=writer, planner=DefaultSavePlanner(), process_group=group)
        )
    files = {name: summed for part in all_gather_objects(group, writer.files) for name, summed in part.items()}

    def write_rest() -> None:
        with full_disk_as_input_error(path, needed):
            save_readable(whole, partial / _WHOLE_NAME)
            files[_WHOLE_NAME] = file_checksum(partial / _WHOLE_NAME)
            (partial / INDEX_NAME).write_bytes(index_content(tensors, files))
            for written in (partial / _WHOLE_NAME, partial / INDEX_NAME, partial):
                sync_to_disk(written)

    run_on_rank_zero(group, write_rest)


@contextmanager
def _pieces_without_checksums() -> Iterator[None]:
    """torch's checksum of every tensor costs as much as writing it, and the files have one of their own.

    The setting is the process's: whatever another thread saves meanwhile is without torch's checksums too.
    """
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def verify_folder(folder: Path) -> None:
    """Raise InputError unless every file of the checkpoint is there with its size and checksum."""
    files = read_index(folder).files

    def check(name: str) -> None:
        if file_checksum(folder / name) != files[name]:
            raise InputError(f"{folder / name} is damaged (its checksum differs); use an earlier checkpoint.")

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(check, files))


def read_folder(folder: Path, entries: Collection[str] | None = None) -> dict[str, Any]:
    """The checkpoint with its tensors put together, on the CPU of this process alone.

    entries: the top-level entries wanted; None: all. Memory is that of what is wanted.
    """
    index, content = read_index(folder), read_single_file(folder / _WHOLE_NAME)
    wanted = {name for name, path in index.paths.items() if entries is None or path[0] in entries}
    shapes = {name: index.described(name) for name in wanted}
    tensors = {name: torch.empty(entry.size, dtype=entry.properties.dtype) for name, entry in shapes.items()}
    _load_tensors(folder, index, tensors, None)
    content = {key: value for key, value in content.items() if entries is None or key in entries}
    for name, path in index.paths.items():
        if name in tensors:
            put(content, path, tensors[name])
    return content


def read_shapes(folder: Path) -> dict[str, Any]:
    """The checkpoint with zeros that take no memory for its sharded tensors, of which nothing is read."""
    index, content = read_index(folder), read_single_file(folder / _WHOLE_NAME)
    for name, path in index.paths.items():
        entry = index.described(name)
        put(content, path, torch.zeros((), dtype=entry.properties.dtype).expand(entry.size))
    return content


def load_folder(folder: Path, template: Mapping, group: dist.ProcessGroup | None) -> dict[str, Any]:
    """The checkpoint with its sharded tensors loaded into those of `template`, sharded in any way or whole.

    Every process of `group` calls it. Raises InputError unless `template` has just the tensors of the checkpoint.
    """
    index, content = read_index(folder), read_single_file(folder / _WHOLE_NAME)
    targets = {path: value.detach() for path, value in named_leaves(template) if isinstance(value, Tensor)}
    _check_fit(folder, index, targets, {path for path, _ in named_leaves(content)})
    tensors = {name: targets[path] for name, path in index.paths.items()}
    _load_tensors(folder, index, tensors, group)
    for name, path in index.paths.items():
        put(content, path, tensors[name])
    return content


def _check_fit(folder: Path, index: ShardIndex, targets: dict[KeyPath, Tensor], whole: set[KeyPath]) -> None:
    problems = []
    for name, path in index.paths.items():
        size = index.described(name).size
        if path not in targets:
            problems.append(f"{name} is not in this run")
        elif targets[path].shape != size:
            problems.append(f"{name} is {[*size]} there and {[*targets[path].shape]} here")
    known = whole | set(index.paths.values())
    # Entries without sharded tensors are handed back as saved: another number of processes has other random states.
    sharded = {path[0] for path in index.paths.values()}
    problems += [
        f"{'.'.join(map(str, path))} is not in the checkpoint"
        for path in targets
        if path not in known and path[0] in sharded and path[:2] != _MOMENTS
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(
            f"{folder} does not fit this run: {', '.join(problems[:3])}{more}; resume with the config that wrote it, "
            "or give it as initial weights of a new run."
        )


class _IndexedReader(dcp.FileSystemReader):
    """torch's reader with the description of the tensors from the index instead of a pickle."""

    def __init__(self, folder: Path, index: ShardIndex) -> None:
        super().__init__(folder)
        self._index = index

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:  # noqa: ARG002 (torch's signature)
        return self._index.tensors


def _load_tensors(folder: Path, index: ShardIndex, tensors: dict[str, Tensor], group: dist.ProcessGroup | None) -> None:
    reader = _IndexedReader(folder, index)
    planner = DefaultLoadPlanner(flatten_state_dict=False)
    try:
        with warnings.catch_warnings():  # that one process alone reads is what is wanted
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            _first_failure(
                lambda: dcp.load(
                    tensors, storage_reader=reader, planner=planner, process_group=group, no_dist=group is None
                )
            )
    except pickle.UnpicklingError as error:  # torch's text advises to read it all the same
        raise InputError(
            f"{folder} is refused: it stores something else than tensors, and reading that can run any code; use an "
            "earlier checkpoint, or weights from a source you trust."
        ) from error
    except Exception as error:  # damaged files make torch's reader raise nearly anything
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} cannot be read ({reason}); use an earlier checkpoint.") from error


def _first_failure(action: Callable[[], Any]) -> Any:
    """`action()`, of whose failures on several processes the first is raised as it was there."""
    try:
        return action()
    except CheckpointException as error:  # no Exception, and its text holds the traceback of every process
        raise next(failure for failure, _ in error.failures.values()) from error


def _make_folder(path: Path, partial: Path, num_bytes: int) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    require_space(path, num_bytes)
    partial.mkdir()
