"""Read pickles of NumPy arrays (Detectron2's model zoo) without running any code that the file names."""

import mmap
import pickle
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .safe_pickle import SafeUnpickler, Stub, new_dict

_NUMERIC_KINDS = "biuf"
_MAX_AXES = 32


class _Latin1:
    """Replaces ``_codecs.encode(text, "latin1")``, by which protocol 2 stores bytes; encoded only when used."""

    def __init__(self, text: str, encoding: str = "latin1") -> None:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"text in encoding {encoding!r}")
        self.text = text


class _Dtype(Stub):
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.byte_order = code, "="

    def set_state(self, state: tuple) -> None:
        """Take the byte order."""
        self.byte_order = state[1]

    def resolve(self) -> np.dtype:
        dtype = np.dtype(self.code)
        if dtype.kind not in _NUMERIC_KINDS:
            raise pickle.UnpicklingError(f"an array of type {self.code!r}")
        return dtype.newbyteorder(self.byte_order)  # type: ignore[arg-type]  # it raises an error for any other text


class _Array(Stub):
    """Stands for ``numpy.ndarray``: collects shape, dtype and data without calling NumPy's own unpickling code."""

    def __init__(self, *state: Any) -> None:
        self.state = state  # (shape, dtype, Fortran order, data)

    def set_state(self, state: tuple) -> None:
        """Take shape, dtype, order and data."""
        self.state = state[1:]

    def tensor(self) -> Tensor:
        shape, dtype, fortran, data = self.state
        if len(shape) > _MAX_AXES:
            raise pickle.UnpicklingError(f"an array of {len(shape)} axes")
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
    ("collections", "OrderedDict"): new_dict,
    ("_codecs", "encode"): _Latin1,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
for _package in ("numpy.core", "numpy._core"):  # the names before and since NumPy 2
    _ALLOWED[(f"{_package}.multiarray", "_reconstruct")] = _reconstruct
    _ALLOWED[(f"{_package}.multiarray", "scalar")] = _scalar
    _ALLOWED[(f"{_package}.numeric", "_frombuffer")] = _from_buffer


class _NumpyUnpickler(SafeUnpickler):
    def allowed(self, module: str, name: str) -> Any:
        return _ALLOWED.get((module, name))


def read_numpy_pickle(path: Path) -> Any:
    """Read a pickle of builtin containers and NumPy arrays, which become tensors.

    Raises:
        UnsafePickleError: The pickle refers to a class or function that NumPy arrays do not need.
        Exception: Nearly any other exception if the file is damaged.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        content = _NumpyUnpickler(mapped, len(mapped), encoding="latin1").load()
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
