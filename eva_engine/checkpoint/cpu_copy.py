"""Copy a training state to CPU memory, so that training can continue while the copy is written."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from .nested_state import KeyPath

_Buffers = dict[KeyPath, Tensor]


class CpuStateCopier:
    """Copies states to the CPU, and reuses the memory for tensors of the same key, shape and dtype.

    The copy takes as much CPU memory as the local part of the state. Copies of CUDA tensors are in page-locked memory,
    which makes copying fast.
    """

    def __init__(self) -> None:
        self._buffers: _Buffers = {}

    def copy(self, state: Mapping) -> dict:
        """Return an independent copy of `state`; it overwrites the previous copy."""
        earlier, self._buffers = self._buffers, {}
        result = self._copy_mapping(state, (), earlier, {})
        if any(_is_pinned(value) for value in self._buffers.values()):
            torch.cuda.synchronize()
        return result

    def _copy_mapping(self, state: Mapping, prefix: KeyPath, earlier: _Buffers, seen: dict[tuple, Tensor]) -> dict:
        result: dict[Any, Any] = {}
        for key, value in state.items():
            path = (*prefix, key)
            if isinstance(value, Mapping):
                result[key] = self._copy_mapping(value, path, earlier, seen)
            elif isinstance(value, Tensor):
                result[key] = self._copy_tensor(value.detach(), path, earlier, seen)
            else:
                result[key] = copy.deepcopy(value)
        return result

    def _copy_tensor(self, value: Tensor, path: KeyPath, earlier: _Buffers, seen: dict[tuple, Tensor]) -> Tensor:
        local = _local(value)
        identity = (local.data_ptr(), value.shape, local.shape, local.stride(), value.dtype, local.device)
        if local.numel() and identity in seen:  # tied weights are copied once
            return seen[identity]
        buffer = earlier.get(path)
        if buffer is None or not _fits(buffer, value):
            buffer = torch.empty_like(value, device="cpu", pin_memory=local.is_cuda, requires_grad=False)
        _local(buffer).copy_(local, non_blocking=True)
        self._buffers[path] = seen[identity] = buffer
        return buffer


def _local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value


def _is_pinned(value: Tensor) -> bool:
    return torch.cuda.is_available() and _local(value).is_pinned()


def _fits(buffer: Tensor, value: Tensor) -> bool:
    """Return whether a copy of `value` would have the shape, dtype, sharding and strides of `buffer`."""
    same = buffer.shape == value.shape and buffer.dtype == value.dtype and type(buffer) is type(value)
    if same and isinstance(value, DTensor) and isinstance(buffer, DTensor):
        same = buffer.placements == value.placements and buffer.device_mesh == value.device_mesh
    local = _local(value)
    return same and _is_pinned(buffer) == local.is_cuda and _local(buffer).stride() == local.stride()
