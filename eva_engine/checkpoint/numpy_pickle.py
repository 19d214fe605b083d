"""Pickles of NumPy arrays (Detectron2's model zoo), read without running any code that the file names."""

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
    """The pickle asks for a class or function that is not among the allowed ones; `global_name` is its dotted name."""

    def __init__(self, global_name: str) -> None:
        super().__init__(f"needs {global_name}")
        self.global_name = global_name


# The unpickler written in Python: the one in C lets a file of a few bytes reserve gigabytes for its memo table.
class BoundedUnpickler(pickle._Unpickler):
    """Base class; a subclass says in `find_class` which classes and functions a pickle may name."""

    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def load_bytearray8(self) -> None:
        """The bytes that are there: Python's own method reserves as many as the pickle announces before it reads."""
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


_BYTE_ORDERS: dict[str, Literal["<", ">", "=", "|"]] = {"<": "<", ">": ">", "=": "=", "|": "|"}
_NUMERIC_KINDS = "biuf"


class _Latin1:
    """Stands for ``_codecs.encode(text, "latin1")``, how protocol 2 spells bytes; encoded only when used."""

    def __init__(self, text: str, encoding: str = "latin1") -> None:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"text in encoding {encoding!r}")
        self.text = text


class _Dtype:
    """Stands for ``numpy.dtype``."""

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
    """Stands for ``numpy.ndarray``: the pieces of an array, put together without NumPy's own unpickler."""

    def __init__(self, *state: Any) -> None:
        self.state = state  # (shape, dtype, Fortran order, data)

    def __setstate__(self, state: tuple) -> None:
        self.state = state[1:]

    def tensor(self) -> Tensor:
        shape, dtype, fortran, data = self.state
        data = data.text if isinstance(data, _Latin1) else data
        data = data.encode("latin1") if isinstance(data, str) else data
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
    return b""  # how protocol 2 spells them


_ALLOWED = {
    ("__builtin__", "bytes"): _empty_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _Latin1,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
for _package in ("numpy.core", "numpy._core"):  # the name before and since NumPy 2
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
    """The content of the pickle `path`: builtin containers, with every NumPy array as a tensor.

    Raises UnsafePickleError for any global other than NumPy's arrays; a damaged file raises whatever it trips over.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        content = _NumpyUnpickler(mapped, encoding="latin1").load()
        return _with_tensors(content, budget=[len(mapped)], done={})


def _with_tensors(value: Any, budget: list[int], done: dict[int, dict], depth: int = 0) -> Any:
    """`value` with its arrays as tensors; `budget` (bytes) refuses a file that names one buffer as many arrays.

    `done` has the dicts that were met, since a file may refer to one of them any number of times.
    """
    if isinstance(value, _Array):
        tensor = value.tensor()
        budget[0] -= tensor.nbytes
        if budget[0] < 0:
            raise pickle.UnpicklingError("arrays larger than the file")
        return tensor
    if not isinstance(value, dict) or depth == 4:
        return value
    if id(value) not in done:
        done[id(value)] = {}
        done[id(value)] |= {key: _with_tensors(item, budget, done, depth + 1) for key, item in value.items()}
    return done[id(value)]
