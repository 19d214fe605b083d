"""Real values for labels, token ids and masks in a step that otherwise runs on fake tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class KnownData(TorchDispatchMode):
    """Keep the values of integer and boolean tensors that are not fake; enter it inside `mode`.

    Operations on such tensors alone are computed, so that shapes which depend on labels are right; only floating-point
    results become fake. A known mask selects as many elements as it has true entries.
    """

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self._fake_mode = mode

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if tensors and not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            with unset_fake_temporarily():
                result = func(*args, **kwargs)
            return tree_map_only(Tensor, self._hide, result)
        if func is torch.ops.aten.index.Tensor:
            indices: list[Tensor | None] = []
            for index in args[1]:
                indices += _as_numbers(index)
            args = (args[0], indices)
        return func(*args, **kwargs)

    def _hide(self, tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            return self._fake_mode.from_tensor(tensor)
        return tensor


def _as_numbers(index: Tensor | None) -> list[Tensor | None]:
    """Convert a known boolean mask to the indices of its true elements, one tensor per dimension."""
    if index is None or index.dtype != torch.bool or isinstance(index, FakeTensor):
        return [index]
    with unset_fake_temporarily():
        return list(index.nonzero(as_tuple=True))


class ZerosOutside(TorchFunctionMode):
    """Let fake tensors become zeros when they are converted to arrays; what follows must depend on shapes only."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.numpy and isinstance(args[0], FakeTensor):
            return np.zeros(args[0].shape)
        return func(*args, **(kwargs or {}))
