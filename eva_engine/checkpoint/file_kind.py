"""What kind of weight file a file is, by its first bytes; the extension is not trusted."""

import os
import zipfile
from enum import StrEnum
from pathlib import Path

from eva_backbone.errors import InputError

INDEX_NAME = "index.json"  # marks the folder of a sharded checkpoint
_LEGACY_TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6, after the two bytes of its protocol


class FileKind(StrEnum):
    """The formats that can be read; the value names the format in messages."""

    TORCH = "torch"
    LEGACY_TORCH = "legacy torch"
    TORCHSCRIPT = "TorchScript"
    NUMPY_PICKLE = "NumPy pickle"
    SAFETENSORS = "safetensors"
    SHARDED = "sharded checkpoint"


def detect_kind(path: Path) -> FileKind:
    """The kind of the file or folder `path`; InputError where it is missing, empty or obviously something else."""
    if path.is_dir():
        if (path / INDEX_NAME).is_file():
            return FileKind.SHARDED
        raise InputError(f"{path} is a folder; name the weight file inside it.")
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no regular file; check the path of the weights.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read by this user; change its permissions.")
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise InputError(f"{path} is empty; fetch the weights again.")
    if head.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is a Git LFS pointer, not the weights; run `git lfs pull` where it came from.")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{path} is a web page, not weights (a link that asks to log in?); fetch the file itself.")
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
    except Exception as error:  # the zip reader, too, trips over damage in many ways
        size = path.stat().st_size
        raise InputError(f"{path} is a torch file cut short ({size:,} bytes are there); fetch it again.") from error
    names = {record.filename.rpartition("/")[2] for record in records}
    if "data.pkl" not in names:
        raise InputError(f"{path} is a zip archive not written by torch.save; unpack it and name the weights inside.")
    is_program = "constants.pkl" in names
    # Weights are never compressed, and a compressed record could unfold to any size.
    root = next(record.filename for record in records if record.filename.rpartition("/")[2] == "data.pkl")
    code = f"{root.removesuffix('data.pkl')}code/"
    weights = [record for record in records if not (is_program and record.filename.startswith(code))]
    if any(record.compress_type != zipfile.ZIP_STORED for record in weights):
        raise InputError(f"{path} holds compressed records, which cannot be mapped; write it again with torch.save.")
    if sum(record.file_size for record in weights) > path.stat().st_size:  # one piece of the file under many names
        raise InputError(f"{path} holds records that overlap; write it again with torch.save.")
    return FileKind.TORCHSCRIPT if is_program else FileKind.TORCH
