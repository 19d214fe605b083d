"""Detect the format of a weight file from its first bytes; the file name extension is not trusted."""

import os
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from eva_backbone.errors import InputError

INDEX_NAME = "index.json"  # file by which the folder of a sharded checkpoint is recognised
_LEGACY_TORCH_MAGIC = (
    b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # of torch.save before 1.6, after the two bytes of the pickle protocol
)
# Bytes of the list of all entries, each of which takes many times its own bytes in memory. The list of a checkpoint
# with 10,000 tensors has 1 MB.
_MAX_LIST = 16_000_000


class FileKind(StrEnum):
    """Formats that can be read; the values are their names in messages."""

    TORCH = "torch"
    LEGACY_TORCH = "legacy torch"
    TORCHSCRIPT = "TorchScript"
    NUMPY_PICKLE = "NumPy pickle"
    SAFETENSORS = "safetensors"
    SHARDED = "sharded checkpoint"


def detect_kind(path: Path) -> FileKind:
    """Return the format of a weight file or checkpoint folder.

    Raises:
        InputError: `path` is missing, empty, unreadable or not a weight file.
    """
    if os.path.isdir(path):
        if (path / INDEX_NAME).is_file():
            return FileKind.SHARDED
        raise InputError(f"{path} is a folder; name the weight file inside it.")
    if not os.path.isfile(path):
        raise InputError(f"{path} does not exist or is not a regular file; check the path of the weights.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read by this user; change its permissions.")
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise InputError(f"{path} is empty; download the weights again.")
    if head.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is a Git LFS pointer, not the weights; run `git lfs pull` in its repository.")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{path} is a web page, not a weight file (perhaps a login page); download the file itself.")
    if head.startswith(b"PK\x03\x04"):
        is_program = open_archive(path, path, path.stat().st_size).is_program
        return FileKind.TORCHSCRIPT if is_program else FileKind.TORCH
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        _check_list(path, int.from_bytes(head[:8], "little"))
        return FileKind.SAFETENSORS
    if head[2:].startswith(_LEGACY_TORCH_MAGIC):
        return FileKind.LEGACY_TORCH
    if head.startswith(b"\x80") or path.suffix == ".pkl":
        return FileKind.NUMPY_PICKLE
    raise InputError(f"{path} is not a weight file; expected torch (.pt, .pth), a NumPy pickle (.pkl) or .safetensors.")


@dataclass(frozen=True)
class Archive:
    """The records of a zip archive that torch has written.

    Attributes:
        root: Start of the names of its records: "" or a folder with a slash at the end.
        is_program: Whether it is a TorchScript program.
        records: Records by name, without the source code of a program.
    """

    root: str
    is_program: bool
    records: dict[str, zipfile.ZipInfo]


def open_archive(path: Path, file: Path | IO[bytes], num_bytes: int) -> Archive:
    """Read the list of the records in a zip archive.

    Args:
        path: File of the archive, for messages.
        file: The same file, or the part of it that is the archive.
        num_bytes: Size of `file`.

    Raises:
        InputError: torch did not write it, or its records could take more memory than the file; or it is damaged.
    """
    try:
        with open(file, "rb") if isinstance(file, Path) else file as stream:
            end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
            _check_list(path, end[zipfile._ECD_SIZE] if end else 0)  # type: ignore[attr-defined]
            records = zipfile.ZipFile(stream).infolist()
    except InputError:
        raise
    except Exception as error:  # damaged archives make zipfile raise nearly any exception
        raise InputError(f"{path} is a truncated torch file ({num_bytes:,} bytes); download it again.") from error
    data = next((record.filename for record in records if record.filename.rpartition("/")[2] == "data.pkl"), None)
    if data is None:
        raise InputError(
            f"{path} is a zip archive that torch.save did not write; unpack it and name the weight file inside."
        )
    root = data.removesuffix("data.pkl")
    is_program = any(record.filename == f"{root}constants.pkl" for record in records)
    if is_program:  # the source code of a TorchScript program is compressed, but never read
        records = [record for record in records if not record.filename.startswith(f"{root}code/")]
    # torch never compresses weights, and a compressed record could expand to any size.
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise InputError(
            f"{path} has compressed records, which cannot be memory-mapped; write it again with torch.save."
        )
    if sum(record.file_size for record in records) > num_bytes:  # several records refer to the same bytes
        raise InputError(f"{path} has records that overlap; write it again with torch.save.")
    return Archive(root, is_program, {record.filename: record for record in records})


def _check_list(path: Path, num_bytes: int) -> None:
    if num_bytes > _MAX_LIST:
        raise InputError(
            f"{path} lists its entries in {num_bytes:,} bytes, more than {_MAX_LIST:,}; give the weights of a model."
        )
