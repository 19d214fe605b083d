"""Weight files of every published kind, read without running code and without copying the tensors."""

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eva_backbone.errors import InputError

from .file_kind import FileKind, detect_kind
from .lora_weights import merge_lora_weights
from .single_file import read_single_file

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
        from .sharded_checkpoint import read_folder  # slow to import

        return read_folder(path, entries)
    return read_single_file(path, kind)


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
