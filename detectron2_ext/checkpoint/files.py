"""Weight files of every published kind, read without running code and without copying the tensors."""

import logging
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from eva_backbone.errors import InputError

from .bounded_unpickler import UnsafePickleError
from .file_kind import FileKind, detect_kind
from .lora_weights import merge_lora_weights
from .numpy_pickle import read_numpy_pickle
from .torchscript_archive import read_torchscript

logger = logging.getLogger(__name__)

WRAPPERS = ("model", "module", "state_dict", "model_ema")  # where files keep their weights, in order of preference
_PARALLEL_PREFIXES = ("module.", "_orig_mod.")  # left by DataParallel and torch.compile


def read_weights(path: str | os.PathLike, entry: str = "", *, averaged: bool = False) -> dict[str, Tensor]:
    """The named tensors of a .pt, .pth, .pkl or .safetensors file, or of the folder of a sharded checkpoint of a run.

    They are on the CPU, in the dtypes they are stored in.

    The weights may lie under ``model``, ``module``, ``state_dict`` or ``model_ema``, or at the top. Tensors of current
    torch files and of safetensors are private mappings of the file: they cost no memory until touched, and writing to
    them does not change the file. Those of a sharded checkpoint are put together in memory. Of a TorchScript program
    the tensors are read, and nothing is run.

    The low-rank layers of a run that trained some (its checkpoints have the settings under ``lora``) are merged.

    entry: which of several weights a checkpoint holds, such as "ema"; empty: the first of those above.
    averaged: take the moving average, "ema", where the file has one.

    Raises InputError when the file is missing, damaged, of another kind, has no such entry, or asks for code to be run.
    """
    entry = "ema" if averaged else entry
    content = read_file(path, (*((entry,) if entry else WRAPPERS), "lora"))
    if entry and not (isinstance(content, Mapping) and isinstance(content.get(entry), Mapping)):
        if averaged:
            return read_weights(path)
        raise InputError(f"{path} has no entry {entry!r}; leave --entry out, or name one that the file has.")
    if averaged:
        logger.info("Of %s the moving average of the weights is taken, as train.ema.evaluate says", path)
    weights = select_weights(content[entry] if entry else content, path)
    settings = content.get("lora") if isinstance(content, Mapping) else None
    return merge_lora_weights(weights, settings) if isinstance(settings, Mapping) else weights


def read_file(path: str | os.PathLike, entries: Collection[str] | None = None) -> Any:
    """Everything in a weight file: tensors, numbers, strings and builtin containers. See :func:`read_weights`.

    entries: of a sharded checkpoint only these top-level entries are read, to save memory.
    """
    path = Path(path)
    kind = detect_kind(path)
    if kind is FileKind.SHARDED:
        from .sharded_checkpoint import read_folder  # slow to import, and it reads files itself

        return read_folder(path, entries)
    try:
        if kind is FileKind.SAFETENSORS:
            with safe_open(path, framework="pt", device="cpu") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if kind is FileKind.NUMPY_PICKLE:
            return read_numpy_pickle(path)
        if kind is FileKind.TORCHSCRIPT:
            return read_torchscript(path)
        # Published video models store their settings too, in a dict of a class of yacs; a plain one serves for it.
        with torch.serialization.safe_globals([(OrderedDict, "yacs.config.CfgNode")]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=kind is FileKind.TORCH)
    except Exception as error:  # a damaged file makes these parsers raise nearly anything
        unsafe = _unsafe_globals(path, error)
        if unsafe:
            raise InputError(_refusal(path, kind, unsafe)) from error
        raise InputError(
            f"{path} cannot be read as a {kind} file ({_first_line(error)}); it is damaged or cut short: "
            f"compare its size ({path.stat().st_size:,} bytes) with the source and fetch it again."
        ) from error


def select_weights(content: Any, path: str | os.PathLike) -> dict[str, Tensor]:
    """The state dict inside the `content` of the file `path`, without prefixes that wrappers of the model left."""
    entries = content if isinstance(content, Mapping) else {}
    for _ in WRAPPERS:  # wrappers may be nested; a file may even contain itself
        entries = next((entries[key] for key in WRAPPERS if isinstance(entries.get(key), Mapping)), entries)
    weights = {name: value.detach() for name, value in entries.items() if isinstance(name, str) and _is_plain(value)}
    if not weights:
        found = f"the keys {', '.join(sorted(map(str, entries))[:5])}" if entries else f"a {type(content).__name__}"
        raise InputError(
            f"{path} holds no named tensors (found {found}); "
            f"expected a state dict, bare or under {', '.join(WRAPPERS)}."
        )
    file_size = _stored_bytes(Path(path))
    for name, value in weights.items():
        if value.nbytes > file_size:  # a few stored bytes repeated by zero strides
            raise InputError(
                f"{path}: entry {name} claims shape {tuple(value.shape)}, more than the whole file holds; "
                "write it again with contiguous tensors."
            )
    for prefix in _PARALLEL_PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _stored_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and value.is_cpu and not value.is_quantized


def _unsafe_globals(path: Path, error: Exception) -> list[str]:
    """Names of the objects that made a safe reader give up, if that is why it did."""
    if isinstance(error, UnsafePickleError):
        return [error.global_name]
    if not isinstance(error, pickle.UnpicklingError):
        return []
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # not an archive, or too damaged to list: the message names the first one
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
        f"{path} is refused: beside weights it stores Python objects ({', '.join(names[:4])}), and reading those can "
        f'run any code; if you trust its source, save the weights alone with: python -c "import torch; {read}; {save}".'
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
