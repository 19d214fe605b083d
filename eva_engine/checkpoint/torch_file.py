"""Read the tensors in files of torch.save and in TorchScript archives (OpenAI's CLIP); no code in them runs.

torch's own reader allocates any memory that a pickle asks for, and advises to read without checks what it refuses.
"""

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import torch
from torch import Tensor

from .file_kind import open_archive
from .safe_pickle import SafeUnpickler, Stub, new_dict

_STORAGES = {
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
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")
# Tensors that are not dense; those with quantised storages have other storage types as well.
_OTHER_TENSORS = ("_rebuild_sparse_tensor", "_rebuild_qtensor", "_rebuild_meta_tensor_no_storage")
_QUANTISED_STORAGES = ("QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage", "QUInt2x4Storage")
_MAX_AXES, _MAX_NAME = 64, 300
_LOCAL_HEADER = struct.Struct("<26x2H")  # of a record in a zip archive: the lengths of its name and of extra fields


class _Module(Stub):
    """Stands for objects of all classes of a TorchScript program; keeps only their attributes."""

    attributes: Mapping[str, Any] = MappingProxyType({})

    def set_state(self, state: Any) -> None:
        """Take the attributes."""
        if isinstance(state, dict):
            self.attributes = state


def _rebuild(
    storage: Tensor, offset: int, size: tuple, stride: tuple, _grad: Any = None, _hooks: Any = None, *bits: Any
) -> Tensor:
    if len(size) > _MAX_AXES:
        raise pickle.UnpicklingError(f"a tensor of {len(size)} axes")
    if any(bits):
        raise pickle.UnpicklingError("a tensor that is stored as the conjugate or negative of its values")
    return storage.as_strided(size, stride, offset)  # as_strided checks the bounds


def _rebuild_v3(
    storage: Tensor, offset: int, size: tuple, stride: tuple, grad: Any, hooks: Any, dtype: torch.dtype, *bits: Any
) -> Tensor:
    return _rebuild(storage.view(dtype), offset, size, stride, grad, hooks, *bits)


def _data_of_parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError("text in another encoding than latin1")
    return text.encode("latin1")  # by which protocol 2 stores bytes


def _bytearray(content: bytes = b"", *_: Any) -> bytearray:
    if not isinstance(content, bytes):
        raise pickle.UnpicklingError("a bytearray whose content is not in the file")
    return bytearray(content)


def _text(*parts: Any) -> str:
    return ":".join(map(str, parts))  # of a device or a layout


_ALLOWED: dict[tuple[str, str], Callable] = {
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_v3,
    ("torch._utils", "_rebuild_parameter"): _data_of_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _data_of_parameter,
    ("torch", "Size"): tuple,
    ("torch", "device"): _text,
    ("torch.serialization", "_get_layout"): _text,
    ("collections", "OrderedDict"): new_dict,
    ("collections", "Counter"): new_dict,
    ("yacs.config", "CfgNode"): new_dict,  # settings in published video models
    ("_codecs", "encode"): _encode,
}
for _builtins in ("builtins", "__builtin__"):  # the names in Python 3 and 2
    _ALLOWED |= {(_builtins, "set"): list, (_builtins, "bytearray"): _bytearray, (_builtins, "complex"): complex}
_ALLOWED |= {("torch.jit._pickle", name): list for name in _LISTS}
_ALLOWED |= {("torch._utils", name): Stub for name in _OTHER_TENSORS}

Storages = Callable[[Any, torch.dtype, int], Tensor]


class _TorchUnpickler(SafeUnpickler):
    """Args: see `SafeUnpickler`; `storages` returns the storage of a key, as a tensor of one axis."""

    def __init__(self, file: IO[bytes], num_bytes: int, storages: Storages) -> None:
        super().__init__(file, num_bytes)
        self._storages = storages

    def allowed(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module.partition(".")[0] == "__torch__":
            return _Module
        if module in ("torch", "torch.storage"):
            if name in _STORAGES:
                return _STORAGES[name]
            if name == "UntypedStorage" or name in _QUANTISED_STORAGES:
                return torch.uint8
            value = vars(torch).get(name)
            if isinstance(value, torch.dtype | torch.qscheme):
                return value
        return None

    def persistent_load(self, pid: Any) -> Tensor:
        """Return a storage: ("storage", dtype, key, device, number of elements, and in old files a part of it)."""
        kind, dtype, key, _, num_elements, *part = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str | int):
            raise pickle.UnpicklingError("an object that is not a storage")
        if not isinstance(num_elements, int) or num_elements < 0:
            raise pickle.UnpicklingError("a storage without a size")
        storage = self._storages(key, dtype, num_elements)
        if part and part[0] is not None:
            _, start, length = part[0]
            return storage.narrow(0, start, length)
        return storage


def read_torch_archive(path: Path, start: int = 0, length: int | None = None) -> Any:
    """Read a torch or TorchScript archive, whose tensors are private memory mappings of the file.

    Args:
        path: The file.
        start: First byte of the archive in the file.
        length: Number of bytes of the archive; None for all after `start`.

    Returns:
        The content; of a TorchScript program, the tensors of its modules by their dotted names.

    Raises:
        UnsafePickleError: It has objects other than tensors and builtin types.
        Exception: Nearly any other exception if the file is damaged.
    """
    size = path.stat().st_size
    data = torch.UntypedStorage.from_file(str(path), False, size)
    data = data[start : size if length is None else start + length]
    view = torch.empty(0, dtype=torch.uint8, device="cpu").set_(data).numpy().data
    archive = open_archive(path, path if length is None else io.BytesIO(view), len(view))

    def record(name: str) -> slice:
        found = archive.records[f"{archive.root}{name}"]
        sizes = _LOCAL_HEADER.unpack(view[found.header_offset : found.header_offset + _LOCAL_HEADER.size])
        first = found.header_offset + _LOCAL_HEADER.size + sum(sizes)
        if first + found.file_size > len(view):
            raise EOFError(f"the record {name} is cut short")
        return slice(first, first + found.file_size)

    def storage(key: Any, dtype: torch.dtype, num_elements: int) -> Tensor:
        found, num_bytes = record(f"data/{key}"), num_elements * dtype.itemsize
        if num_bytes > found.stop - found.start:
            raise EOFError(f"the storage {key} is cut short")
        return torch.empty(0, dtype=dtype, device="cpu").set_(data[found.start : found.start + num_bytes])

    if f"{archive.root}byteorder" in archive.records and bytes(view[record("byteorder")]) != b"little":
        raise ValueError("it was written on a big-endian computer")
    content = _TorchUnpickler(io.BytesIO(view[record("data.pkl")]), len(view), storage).load()
    if not archive.is_program:
        return content
    tensors: dict[str, Tensor] = {}
    _collect(content, "", tensors, set())
    return tensors


def _collect(module: _Module, prefix: str, tensors: dict[str, Tensor], seen: set[int]) -> None:
    """Add the tensors of `module` to `tensors`; a module that has several names is visited under the first one."""
    seen.add(id(module))
    for name, value in module.attributes.items():
        if len(prefix) + len(name) > _MAX_NAME:
            raise pickle.UnpicklingError(f"a name of {len(prefix) + len(name):,} characters")
        if isinstance(value, Tensor):
            tensors[f"{prefix}{name}"] = value
        elif isinstance(value, _Module) and id(value) not in seen:
            _collect(value, f"{prefix}{name}.", tensors, seen)


def read_legacy_torch(path: Path) -> Any:
    """Read a file of torch.save before version 1.6: five pickles, then the storages one after the other.

    Raises:
        UnsafePickleError: It has objects other than tensors and builtin types.
        Exception: Nearly any other exception if the file is damaged.
    """
    bytes_left = num_bytes = path.stat().st_size
    found: dict[Any, Tensor] = {}

    def storage(key: Any, dtype: torch.dtype, num_elements: int) -> Tensor:
        nonlocal bytes_left
        if key not in found:
            bytes_left -= num_elements * dtype.itemsize
            if bytes_left < 0:
                raise EOFError("its storages are larger than the file")
            found[key] = torch.empty(num_elements, dtype=dtype, device="cpu")
        return found[key].view(dtype)

    with open(path, "rb") as file:
        _, _, system, content, keys = (_TorchUnpickler(file, num_bytes, storage).load() for _ in range(5))
        if not system["little_endian"]:
            raise ValueError("it was written on a big-endian computer")
        for key in keys:
            values = found.pop(key)
            stored = int.from_bytes(file.read(8), "little")
            if stored != len(values) or file.readinto(values.view(torch.uint8).numpy().data) != values.nbytes:
                raise EOFError(f"the storage {key} is cut short")
    if found:
        raise EOFError(f"{len(found)} storages are missing")
    return content
