"""Read one weight file of any format, without running code and without copying the tensors."""

import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from eva_backbone.errors import InputError

from .file_kind import FileKind, detect_kind
from .numpy_pickle import UnsafePickleError, read_numpy_pickle
from .torchscript_archive import read_torchscript


def read_single_file(path: Path, kind: FileKind | None = None) -> Any:
    """Read all content of a weight file: tensors on the CPU, numbers, strings and builtin containers.

    Args:
        path: The file.
        kind: Its format, if known from `detect_kind`.

    Raises:
        InputError: The file is missing, damaged, not a weight file, or could run code when it is read.
    """
    if kind is None:
        kind = detect_kind(path)
    if kind is FileKind.SHARDED:
        raise InputError(f"{path} is a folder; expected a file.")
    try:
        if kind is FileKind.SAFETENSORS:
            with safe_open(path, framework="pt", device="cpu") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if kind is FileKind.NUMPY_PICKLE:
            return read_numpy_pickle(path)
        if kind is FileKind.TORCHSCRIPT:
            return read_torchscript(path)
        # Published video models also store their settings in a dict subclass of yacs, which is read as an OrderedDict.
        with torch.serialization.safe_globals([(OrderedDict, "yacs.config.CfgNode")]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=kind is FileKind.TORCH)
    except Exception as error:  # damaged files make these parsers raise nearly any exception
        unsafe = _unsafe_globals(path, error)
        if unsafe:
            raise InputError(_refusal(path, kind, unsafe)) from error
        raise InputError(
            f"{path} cannot be read as a {kind} file ({_first_line(error)}); it is damaged or truncated: "
            f"compare its size ({path.stat().st_size:,} bytes) with the source and download it again."
        ) from error


def _unsafe_globals(path: Path, error: Exception) -> list[str]:
    """Return the names of the objects that a safe reader refused, or [] if it failed for another reason."""
    if isinstance(error, UnsafePickleError):
        return [error.global_name]
    if not isinstance(error, pickle.UnpicklingError):
        return []
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # not an archive, or too damaged to list; the message of the error has the first name
        return re.findall(r"GLOBAL ([\w.]+)", str(error))[:1]


def _refusal(path: Path, kind: FileKind, names: list[str]) -> str:
    copy = path.with_name(f"{path.stem}_weights.pth")
    if kind is FileKind.NUMPY_PICKLE:
        read = f"import pickle; c = pickle.load(open('{path}', 'rb'), encoding='latin1')"
    elif kind is FileKind.TORCHSCRIPT:
        read = f"c = torch.jit.load('{path}', map_location='cpu').state_dict()"
    else:
        read = f"c = torch.load('{path}', map_location='cpu', weights_only=False)"
    save = f"torch.save({{'model': c.get('model', c)}}, '{copy}')"
    return (
        f"{path} is refused: in addition to weights it has Python objects ({', '.join(names[:4])}), and reading those "
        "can run any code; if you trust its source, save only the weights with: "
        f'python -c "import torch; {read}; {save}".'
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
