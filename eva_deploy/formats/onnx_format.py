"""ONNX files: written by PyTorch's exporter, and their metadata read without any package."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from eva_backbone.errors import InputError

from ..graph import ExportGraph
from ..metadata import ENTRY, MAX_BYTES, Metadata

if TYPE_CHECKING:
    from torch.export import ExportedProgram

OPSET = 20
# The messages of protobuf, which the format is made of, have at most 2 GB; more is stored in a second file.
MAX_INLINE_BYTES = 2_000_000_000
# Numbers of fields of a message `ModelProto`, and of its entries of metadata.
_METADATA_FIELD, _KEY_FIELD, _VALUE_FIELD = 14, 1, 2
_VARINT, _BYTES, _FIXED = 0, 2, {1: 8, 5: 4}  # wire types; the length of those of fixed length


def write_onnx(program: "ExportedProgram", graph: ExportGraph, metadata: Metadata | None, path: Path) -> list[Path]:
    """Write a traced graph, and return the files: `path`, and path + ".data" if the weights exceed 2 GB."""
    import torch

    exported = torch.onnx.export(
        program,
        (),
        dynamo=True,
        input_names=[item.name for item in graph.inputs],
        output_names=list(graph.outputs),
        opset_version=OPSET,
        verbose=False,
    )
    assert exported is not None
    if metadata is not None:
        exported.model.metadata_props[ENTRY] = metadata.to_json()
    sizes = [value.const_value.nbytes for value in exported.model.graph.initializers.values() if value.const_value]
    is_large = sum(sizes) > MAX_INLINE_BYTES
    exported.save(path, external_data=is_large)
    return [path, path.with_name(path.name + ".data")] if is_large else [path]


def read_onnx_metadata(path: Path) -> str | None:
    """Return the entry of metadata in an ONNX file, None if it has none; the weights are skipped.

    Raises:
        InputError: The file is not an ONNX file or is truncated.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            for field, length in _fields(file, size):
                if field == _METADATA_FIELD and length <= MAX_BYTES:
                    entry = _read_entry(file, file.tell() + length)
                    if entry.get(_KEY_FIELD) == ENTRY.encode():
                        return entry.get(_VALUE_FIELD, b"").decode()
    except (EOFError, ValueError) as error:
        raise InputError(
            f"{path} is not an ONNX file, or it is truncated ({size:,} bytes); export or download it again."
        ) from error
    return None


def _read_entry(file: IO[bytes], end: int) -> dict[int, bytes]:
    entry = {}
    for field, length in _fields(file, end):
        entry[field] = file.read(length)
    return entry


def _fields(file: IO[bytes], end: int) -> Iterator[tuple[int, int]]:
    """Yield the number and the length of each field that has bytes; the file is then at the start of these bytes."""
    while file.tell() < end:
        tag = _read_varint(file)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _read_varint(file)
            continue
        if wire_type == _BYTES:
            length = _read_varint(file)
        elif wire_type in _FIXED:
            length = _FIXED[wire_type]
        else:
            raise ValueError(f"wire type {wire_type}")
        start = file.tell()
        if start + length > end:
            raise EOFError
        yield field, length
        file.seek(start + length, os.SEEK_SET)


def _read_varint(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise EOFError
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("varint")
