"""A private copy of a training state in memory of the CPU, so that training may go on while it is written."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from .nested_state import KeyPath

_Buffers = dict[KeyPath, Tensor]


class StagingBuffers:
    """Copies states; the memory is kept and used again for tensors of the same place, shape and dtype.

    It takes as much memory of the CPU as the part of the state that lies in this process. Copies of CUDA tensors are
    page-locked, which makes copying to them fast.
    """

    def __init__(self) -> None:
        self._buffers: _Buffers = {}

    def copy(self, state: Mapping) -> dict:
        """A copy of `state` that nothing else refers to; the copy made before becomes invalid."""
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
        if local.numel() and identity in seen:  # tied weights are stored once
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
    same = buffer.shape == value.shape and buffer.dtype == value.dtype and type(buffer) is type(value)
    if same and isinstance(value, DTensor) and isinstance(buffer, DTensor):
        same = buffer.placements == value.placements and buffer.device_mesh == value.device_mesh
    local = _local(value)
    return same and _is_pinned(buffer) == local.is_cuda and _local(buffer).stride() == local.stride()
