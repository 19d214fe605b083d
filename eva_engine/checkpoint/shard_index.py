"""The index of a sharded checkpoint: which piece of which tensor lies where, and the checksum of every file.

It takes the place of the `.metadata` file of `torch.distributed.checkpoint`, which is a pickle: that one is written
too, for other programs, and never read here.
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
class ShardIndex:
    """tensors: torch's description of them; paths: the keys that each name stands for; files: bytes and CRC-32."""

    tensors: Metadata
    paths: dict[str, KeyPath]
    files: dict[str, tuple[int, int]]

    def described(self, name: str) -> TensorStorageMetadata:
        """Shape, type and pieces of a tensor."""
        return tensor_entry(self.tensors, name)


def tensor_entry(tensors: Metadata, name: str) -> TensorStorageMetadata:
    """torch's description of the tensor `name`; it describes other objects too, of which a checkpoint has none.

    Raises:
        TypeError: it is not a tensor.
    """
    entry = tensors.state_dict_metadata[name]
    if not isinstance(entry, TensorStorageMetadata):
        raise TypeError(f"{name} is not a tensor")
    return entry


def index_content(tensors: Metadata, files: dict[str, tuple[int, int]]) -> bytes:
    """The content of the index file for `tensors` as torch describes them after saving."""
    entries = []
    for name in tensors.state_dict_metadata:
        entry = tensor_entry(tensors, name)
        pieces = []
        for chunk in entry.chunks:
            if prod(chunk.sizes):
                place = tensors.storage_data[MetadataIndex(name, chunk.offsets)]
                pieces.append([[*chunk.offsets], [*chunk.sizes], place.relative_path, place.offset, place.length])
        dtype = str(entry.properties.dtype).removeprefix("torch.")
        entries.append({"path": tensors.planner_data[name], "dtype": dtype, "shape": [*entry.size], "pieces": pieces})
    body = {"files": files, "tensors": entries}
    return json.dumps({"crc32": _checksum(body), **body}).encode()


def read_index(folder: Path) -> ShardIndex:
    """The index of the sharded checkpoint `folder`, whose files all have the sizes it gives.

    Raises InputError where the index or a file is missing or damaged.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} has no {INDEX_NAME}, so it is no sharded checkpoint of a training run; name one, or a file."
        )
    try:
        index = _parse(path.read_bytes())
    except Exception as error:  # damage of a nested text shows in many ways
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error}); use an earlier checkpoint.") from error
    for name, (num_bytes, _) in index.files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != num_bytes:
            found = f"has {file.stat().st_size:,} bytes instead of {num_bytes:,}" if file.is_file() else "is missing"
            raise InputError(f"{file} {found}; use an earlier checkpoint.")
    return index


def _parse(content: bytes) -> ShardIndex:
    body = json.loads(content)
    if body.pop("crc32") != _checksum(body):
        raise ValueError("its checksum differs")
    files = {_plain_name(name): (int(size), int(checksum)) for name, (size, checksum) in body["files"].items()}
    paths: dict[str, KeyPath] = {}
    places: dict[MetadataIndex, Any] = {}
    tensors = Metadata({}, storage_data=places)
    for entry in body["tensors"]:
        name = ".".join(map(str, entry["path"]))
        paths[name] = tuple(entry["path"])
        tensors.state_dict_metadata[name] = _describe_tensor(name, entry, places, files)
    if sum(place.length for place in places.values()) > sum(size for size, _ in files.values()):
        raise ValueError("pieces overlap")
    return ShardIndex(tensors, paths, files)


def _describe_tensor(name: str, entry: dict[str, Any], places: dict, files: dict) -> TensorStorageMetadata:
    dtype, shape = getattr(torch, entry["dtype"]), torch.Size(entry["shape"])
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{entry['dtype']} is no type of tensors")
    chunks = []
    for offsets, sizes, file, start, length in entry["pieces"]:
        extents = zip(offsets, sizes, shape, strict=True)
        inside = all(offset >= 0 and size > 0 and offset + size <= whole for offset, size, whole in extents)
        enough = prod(sizes) * dtype.itemsize <= length and start >= 0 and start + length <= files[file][0]
        if not inside or not enough:
            raise ValueError(f"a piece of {name} lies outside of it or of its file")
        chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
        places[MetadataIndex(name, chunk.offsets)] = _StorageInfo(file, start, length)
        chunks.append(chunk)
    if sum(prod(chunk.sizes) for chunk in chunks) != prod(shape):
        raise ValueError(f"pieces of {name} are missing")
    return TensorStorageMetadata(TensorProperties(dtype=dtype), shape, chunks)


def _plain_name(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a file in the folder")
    return name


def _checksum(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())
