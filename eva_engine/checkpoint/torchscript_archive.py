"""Read the weights in TorchScript archives (OpenAI's CLIP) without running the program in them."""

import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from .numpy_pickle import BoundedUnpickler, UnsafePickleError

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS = {"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"}


class _Module:
    """Replaces objects of all classes of the program; keeps only their attributes."""

    attributes: Mapping[str, Any] = MappingProxyType({})

    def __new__(cls, *_: Any) -> "_Module":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.attributes = state


def _rebuild(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)  # as_strided checks the bounds


def _as_list(items: list) -> list:
    return list(items)


class _ArchiveUnpickler(BoundedUnpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}
        super().__init__(archive.open(f"{root}data.pkl"), encoding="utf-8")

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__":
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in _LISTS:
            return _as_list
        raise UnsafePickleError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, *_ = pid
        if key not in self._storages:
            record = bytearray(self._archive.read(f"{self._root}data/{key}"))
            self._storages[key] = torch.frombuffer(record, dtype=dtype) if record else torch.empty(0, dtype=dtype)
        return self._storages[key]


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Read the tensors of the program's modules by their dotted names, on the CPU.

    Raises:
        UnsafePickleError: A stored object is neither a tensor nor part of the program.
        Exception: Nearly any other exception if the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        content = _ArchiveUnpickler(archive, name.removesuffix("data.pkl")).load()
    tensors: dict[str, Tensor] = {}
    _collect(content, "", tensors, set())
    return tensors


def _collect(module: _Module, prefix: str, tensors: dict[str, Tensor], seen: set[int]) -> None:
    """Add the tensors of `module` to `tensors`; a module that has several names is visited under the first one."""
    seen.add(id(module))
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            tensors[f"{prefix}{name}"] = value
        elif isinstance(value, _Module) and id(value) not in seen:
            _collect(value, f"{prefix}{name}.", tensors, seen)
