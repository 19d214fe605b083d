"""Read pickles of NumPy arrays (Detectron2's model zoo) without running any code that the file names."""

import mmap
import pickle
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor


class UnsafePickleError(pickle.UnpicklingError):
    """The pickle refers to a class or function that is not allowed.

    Attributes:
        global_name: Dotted name of the class or function.
    """

    def __init__(self, global_name: str) -> None:
        super().__init__(f"needs {global_name}")
        self.global_name = global_name


# The unpickler in Python, since the one in C lets a file of a few bytes allocate gigabytes for its memo table.
class BoundedUnpickler(pickle._Unpickler):
    """Base class of safe unpicklers; subclasses define in `find_class` which classes and functions are allowed."""

    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def load_bytearray8(self) -> None:
        """Load the bytes that the file has; Python's method allocates the number that the pickle claims first."""
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


_BYTE_ORDERS: dict[str, Literal["<", ">", "=", "|"]] = {"<": "<", ">": ">", "=": "=", "|": "|"}
_NUMERIC_KINDS = "biuf"


class _Latin1:
    """Replaces ``_codecs.encode(text, "latin1")``, by which protocol 2 stores bytes; encoded only when used."""

    def __init__(self, text: str, encoding: str = "latin1") -> None:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"text in encoding {encoding!r}")
        self.text = text


class _Dtype:
    """Replaces ``numpy.dtype``."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.byte_order = code, "="

    def __setstate__(self, state: tuple) -> None:
        self.byte_order = state[1]

    def resolve(self) -> np.dtype:
        dtype = np.dtype(self.code)
        if dtype.kind not in _NUMERIC_KINDS:
            raise pickle.UnpicklingError(f"an array of type {self.code!r}")
        byte_order = _BYTE_ORDERS.get(self.byte_order)
        if byte_order is None:
            raise pickle.UnpicklingError(f"an array of byte order {self.byte_order!r}")
        return dtype.newbyteorder(byte_order)


class _Array:
    """Replaces ``numpy.ndarray``: collects shape, dtype and data without calling NumPy's own unpickling code."""

    def __init__(self, *state: Any) -> None:
        self.state = state  # (shape, dtype, Fortran order, data)

    def __setstate__(self, state: tuple) -> None:
        self.state = state[1:]

    def tensor(self) -> Tensor:
        shape, dtype, fortran, data = self.state
        if isinstance(data, _Latin1):
            data = data.text
        if isinstance(data, str):
            data = data.encode("latin1")
        dtype = dtype.resolve()
        if len(data) != prod(shape) * dtype.itemsize:
            raise pickle.UnpicklingError(f"{len(data)} bytes for an array of shape {tuple(shape)}")
        array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        return torch.from_numpy(array.astype(dtype.newbyteorder("="), order="C"))


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: Any) -> _Array:
    return _Array((), dtype, False, data)


def _from_buffer(data: Any, dtype: _Dtype, shape: tuple, order: str) -> _Array:
    return _Array(shape, dtype, order == "F", data)


def _empty_bytes() -> bytes:
    return b""  # protocol 2 stores them as a call of `bytes`


_ALLOWED = {
    ("__builtin__", "bytes"): _empty_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _Latin1,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
for _package in ("numpy.core", "numpy._core"):  # the names before and since NumPy 2
    _ALLOWED[(f"{_package}.multiarray", "_reconstruct")] = _reconstruct
    _ALLOWED[(f"{_package}.multiarray", "scalar")] = _scalar
    _ALLOWED[(f"{_package}.numeric", "_frombuffer")] = _from_buffer


class _NumpyUnpickler(BoundedUnpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UnsafePickleError(f"{module}.{name}") from None


def read_numpy_pickle(path: Path) -> Any:
    """Read a pickle of builtin containers and NumPy arrays, which become tensors.

    Raises:
        UnsafePickleError: The pickle refers to a class or function that NumPy arrays do not need.
        Exception: Nearly any other exception if the file is damaged.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        content = _NumpyUnpickler(mapped, encoding="latin1").load()
        return _with_tensors(content, budget=[len(mapped)], converted={})


def _with_tensors(value: Any, budget: list[int], converted: dict[int, dict], depth: int = 0) -> Any:
    """Return `value` with its arrays as tensors.

    Args:
        value: Content of the pickle, or a part of it.
        budget: Bytes that arrays may still need. It refuses files that use one buffer for many arrays.
        converted: Results by the id of their dict, since a file may refer to a dict any number of times.
        depth: Number of dicts around `value`.
    """
    if isinstance(value, _Array):
        tensor = value.tensor()
        budget[0] -= tensor.nbytes
        if budget[0] < 0:
            raise pickle.UnpicklingError("arrays larger than the file")
        return tensor
    if not isinstance(value, dict) or depth == 4:
        return value
    if id(value) not in converted:
        result = converted[id(value)] = {}  # registered first, because a dict may contain itself
        for key, item in value.items():
            result[key] = _with_tensors(item, budget, converted, depth + 1)
    return converted[id(value)]
