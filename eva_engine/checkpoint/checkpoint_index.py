"""The index of a sharded checkpoint: the location of every chunk of every tensor, and the checksum of every file.

It replaces the `.metadata` file of `torch.distributed.checkpoint`. That file is a pickle, which could run code: it is
written for other programs, but never read here.
"""

import json
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from eva_backbone.errors import InputError

from .file_kind import INDEX_NAME
from .nested_state import KeyPath


@dataclass(frozen=True)
class CheckpointIndex:
    """Content of the index file.

    Attributes:
        metadata: torch's description of the tensors and of the locations of their chunks.
        paths: Path of keys in the state, by the name of each tensor.
        files: (size in bytes, CRC-32) by file name.
    """

    metadata: Metadata
    paths: dict[str, KeyPath]
    files: dict[str, tuple[int, int]]

    def tensor(self, name: str) -> TensorStorageMetadata:
        """Return shape, dtype and chunks of a tensor."""
        return _tensor_metadata(self.metadata, name)


def encode_index(metadata: Metadata, files: dict[str, tuple[int, int]]) -> bytes:
    """Return the content of the index file.

    Args:
        metadata: Description of the tensors that torch returned after saving them.
        files: (size in bytes, CRC-32) by file name.
    """
    entries = []
    for name in metadata.state_dict_metadata:
        tensor = _tensor_metadata(metadata, name)
        pieces = []
        for chunk in tensor.chunks:
            if prod(chunk.sizes):
                stored = metadata.storage_data[MetadataIndex(name, chunk.offsets)]
                pieces.append([[*chunk.offsets], [*chunk.sizes], stored.relative_path, stored.offset, stored.length])
        dtype = str(tensor.properties.dtype).removeprefix("torch.")
        path = metadata.planner_data[name]
        entries.append({"path": path, "dtype": dtype, "shape": [*tensor.size], "pieces": pieces})
    body = {"files": files, "tensors": entries}
    return json.dumps({"crc32": _checksum(body), **body}).encode()


def read_index(folder: Path) -> CheckpointIndex:
    """Read the index of a sharded checkpoint and check the sizes of all files.

    Raises:
        InputError: The index or a file is missing or damaged.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} has no {INDEX_NAME}, so it is not a sharded checkpoint of a training run; name one, or a file."
        )
    try:
        index = _parse(path.read_bytes())
    except Exception as error:  # damaged JSON can raise nearly any exception
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error}); use an earlier checkpoint.") from error
    for name, (num_bytes, _) in index.files.items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"{file} is missing; use an earlier checkpoint.")
        found = file.stat().st_size
        if found != num_bytes:
            raise InputError(f"{file} has {found:,} bytes instead of {num_bytes:,}; use an earlier checkpoint.")
    return index


def _tensor_metadata(metadata: Metadata, name: str) -> TensorStorageMetadata:
    entry = metadata.state_dict_metadata[name]
    if not isinstance(entry, TensorStorageMetadata):  # torch also describes other objects
        raise TypeError(f"{name} is not a tensor")
    return entry


def _parse(content: bytes) -> CheckpointIndex:
    body = json.loads(content)
    if body.pop("crc32") != _checksum(body):
        raise ValueError("its checksum differs")
    files = {}
    for file_name, (size, checksum) in body["files"].items():
        files[_check_file_name(file_name)] = (int(size), int(checksum))
    paths: dict[str, KeyPath] = {}
    locations: dict[MetadataIndex, Any] = {}
    metadata = Metadata({}, storage_data=locations)
    for entry in body["tensors"]:
        if not entry["path"] or not all(isinstance(key, str | int) for key in entry["path"]):
            raise ValueError(f"{str(entry['path'])[:100]} is not a path of keys")
        name = ".".join(map(str, entry["path"]))
        paths[name] = tuple(entry["path"])
        metadata.state_dict_metadata[name] = _parse_tensor(name, entry, locations, files)
    if sum(location.length for location in locations.values()) > sum(size for size, _ in files.values()):
        raise ValueError("chunks overlap")
    return CheckpointIndex(metadata, paths, files)


def _parse_tensor(name: str, entry: dict[str, Any], locations: dict, files: dict) -> TensorStorageMetadata:
    """Parse the entry of one tensor, and add the locations of its chunks to `locations`."""
    dtype, shape = getattr(torch, entry["dtype"]), torch.Size(entry["shape"])
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{entry['dtype']} is not a dtype")
    chunks = []
    for offsets, sizes, file, start, length in entry["pieces"]:
        for offset, size, limit in zip(offsets, sizes, shape, strict=True):
            if offset < 0 or size <= 0 or offset + size > limit:
                raise ValueError(f"a chunk of {name} lies outside of the tensor")
        if prod(sizes) * dtype.itemsize > length or start < 0 or start + length > files[file][0]:
            raise ValueError(f"a chunk of {name} lies outside of its file")
        chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
        locations[MetadataIndex(name, chunk.offsets)] = _StorageInfo(file, start, length)
        chunks.append(chunk)
    if sum(prod(chunk.sizes) for chunk in chunks) != prod(shape):
        raise ValueError(f"chunks of {name} are missing")
    return TensorStorageMetadata(TensorProperties(dtype=dtype), shape, chunks)


def _check_file_name(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a file in the folder")
    return name


def _checksum(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())
