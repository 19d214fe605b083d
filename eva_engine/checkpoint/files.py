"""Read weight files of all published formats, without running code and without copying the tensors."""

import logging
import os
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.safe_text import printable

from .file_kind import FileKind, detect_kind
from .lora_weights import merge_lora_weights
from .single_file import read_single_file

logger = logging.getLogger(__name__)

# Entries under which files store their weights, in order of preference.
WRAPPERS = ("model", "module", "state_dict", "model_ema")
# Entries of moving averages: of runs of this project, of EVA-02's detectors and of classifiers.
_AVERAGES = ("ema", "ema_state", "model_ema")
_MAX_ENTRIES, _MAX_NAME = 50_000, 300  # the largest model of this project has 3,000 entries
_PARALLEL_PREFIXES = ("module.", "_orig_mod.")  # added by DataParallel and torch.compile


def read_weights(path: str | os.PathLike, entry: str = "", *, averaged: bool = False) -> dict[str, Tensor]:
    """Read the weights in a .pt, .pth, .pkl or .safetensors file, or in the folder of a sharded checkpoint of a run.

    The weights may be stored under ``model``, ``module``, ``state_dict`` or ``model_ema``, or at the top level. Tensors
    of current torch files and of safetensors files are private memory mappings of the file: they take no memory until
    they are accessed, and writing to them does not change the file. Tensors of a sharded checkpoint are assembled in
    memory. A TorchScript program is not run, only its tensors are read.

    LoRA adapters (of checkpoints that have LoRA settings under ``lora``) are merged into their layers.

    Args:
        path: Weight file, folder of a sharded checkpoint or of a run, or the name of published weights; see
            `eva_engine.published_weights.weight_path`.
        entry: Top-level entry of a checkpoint to read the weights from, such as "ema"; empty for the first of the
            entries above that exists.
        averaged: Read the moving average of the weights, "ema", "ema_state" or "model_ema", if the file has one.

    Returns:
        Tensors by name, on the CPU, in the dtypes of the file.

    Raises:
        InputError: The file is missing, damaged or not a weight file, does not have the entry, or could run code when
            it is read.
    """
    entries = (entry,) if entry else WRAPPERS
    content = read_file(path, (*(_AVERAGES if averaged else ()), *entries, "lora"))
    found = content if isinstance(content, Mapping) else {}
    if averaged:
        entry = next((name for name in _AVERAGES if isinstance(found.get(name), Mapping)), "")
        if not entry:
            return read_weights(path)
    if entry and not isinstance(found.get(entry), Mapping):
        raise InputError(f"{path} has no entry {entry!r}; leave --entry out, or name one that the file has.")
    if averaged:
        logger.info("Using the moving average of the weights in %s, because of train.ema.evaluate", path)
    weights = select_weights(content[entry] if entry else content, path)
    lora_settings = content.get("lora") if isinstance(content, Mapping) else None
    if isinstance(lora_settings, Mapping):
        return merge_lora_weights(weights, lora_settings)
    return weights


def read_file(path: str | os.PathLike, entries: Collection[str] | None = None) -> Any:
    """Read all content of a weight file: tensors, numbers, strings and builtin containers.

    Args:
        path: Weight file, or folder of a sharded checkpoint; see `read_weights`.
        entries: Top-level entries to read from a sharded checkpoint, to save memory; ignored for files. By default all.

    Raises:
        InputError: The file is missing, damaged or not a weight file, or could run code when it is read.
    """
    from eva_engine.published_weights.weight_path import weight_path  # it depends on this package

    path = weight_path(path)
    kind = detect_kind(path)
    if kind is FileKind.SHARDED:
        from .sharded_checkpoint import read_sharded  # slow to import

        return read_sharded(path, entries)
    return read_single_file(path, kind)


def select_weights(content: Any, path: str | os.PathLike) -> dict[str, Tensor]:
    """Find the state dict in the content of a weight file.

    Args:
        content: What `read_file` returned.
        path: The file or folder, for messages.

    Returns:
        Tensors by name, without the prefixes that DataParallel or torch.compile added to all names.

    Raises:
        InputError: The content has no named tensors, or names that no model has.
    """
    entries = content if isinstance(content, Mapping) else {}
    for _ in WRAPPERS:  # wrappers may be nested, but a file may also contain itself
        for key in WRAPPERS:
            if isinstance(entries.get(key), Mapping):
                entries = entries[key]
                break
    weights = {}
    for name, value in entries.items():
        if isinstance(name, str) and _is_dense_tensor(value):
            weights[name] = value.detach()
    if not weights:
        keys = ", ".join(printable(key, 30) for key in sorted(map(str, entries))[:5])
        found = f"the keys {keys}" if entries else f"a {type(content).__name__}"
        raise InputError(
            f"{path} has no named tensors (found {found}); "
            f"expected a state dict at the top level or under {', '.join(WRAPPERS)}."
        )
    if len(weights) > _MAX_ENTRIES:
        raise InputError(f"{path} has {len(weights):,} entries, more than any model; give the weights of a model.")
    for name in weights:
        if not name or len(name) > _MAX_NAME or not name.isprintable():
            raise InputError(
                f"{path} has an entry with a name that no model has, {printable(name, 40)!r} ({len(name):,} "
                "characters); give the weights of a model."
            )
    for prefix in _PARALLEL_PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _is_dense_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and value.is_cpu and not value.is_quantized
