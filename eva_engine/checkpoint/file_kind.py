"""Detect the format of a weight file from its first bytes; the file name extension is not trusted."""

import os
import zipfile
from enum import StrEnum
from pathlib import Path

from eva_backbone.errors import InputError

INDEX_NAME = "index.json"  # file by which the folder of a sharded checkpoint is recognised
_LEGACY_TORCH_MAGIC = (
    b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # of torch.save before 1.6, after the two bytes of the pickle protocol
)


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
    if path.is_dir():
        if (path / INDEX_NAME).is_file():
            return FileKind.SHARDED
        raise InputError(f"{path} is a folder; name the weight file inside it.")
    if not path.is_file():
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
        return _check_archive(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return FileKind.SAFETENSORS
    if head[2:].startswith(_LEGACY_TORCH_MAGIC):
        return FileKind.LEGACY_TORCH
    if head.startswith(b"\x80") or path.suffix == ".pkl":
        return FileKind.NUMPY_PICKLE
    raise InputError(f"{path} is not a weight file; expected torch (.pt, .pth), a NumPy pickle (.pkl) or .safetensors.")


def _check_archive(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except Exception as error:  # damaged archives make zipfile raise nearly any exception
        size = path.stat().st_size
        raise InputError(f"{path} is a truncated torch file ({size:,} bytes); download it again.") from error
    names = {record.filename.rpartition("/")[2] for record in records}
    if "data.pkl" not in names:
        raise InputError(
            f"{path} is a zip archive that torch.save did not write; unpack it and name the weight file inside."
        )
    is_program = "constants.pkl" in names
    data = next(record.filename for record in records if record.filename.rpartition("/")[2] == "data.pkl")
    code_folder = f"{data.removesuffix('data.pkl')}code/"
    weights = records
    if is_program:  # the source code of a TorchScript program is compressed, but never read
        weights = [record for record in records if not record.filename.startswith(code_folder)]
    # torch never compresses weights, and a compressed record could expand to any size.
    if any(record.compress_type != zipfile.ZIP_STORED for record in weights):
        raise InputError(
            f"{path} has compressed records, which cannot be memory-mapped; write it again with torch.save."
        )
    if sum(record.file_size for record in weights) > path.stat().st_size:  # several records refer to the same bytes
        raise InputError(f"{path} has records that overlap; write it again with torch.save.")
    return FileKind.TORCHSCRIPT if is_program else FileKind.TORCH
