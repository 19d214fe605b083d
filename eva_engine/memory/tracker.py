"""Bytes of live tensors, operation by operation, of real and of fake tensors alike."""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Follows the storages that operations make in this context until they are freed.

    Attributes:
        live, peak: bytes now, and the most since `start_peak`.
        gradients: bytes of gradients that `take_gradient` took.
        peak_with_gradients: the peak if those had stayed.

    PyTorch's `torch.distributed._tools.MemTracker` does the same and gives the same peak, and is the oracle of the
    tests. It also hooks every module and keeps snapshots per module, to tell gradients and activations apart by owner;
    here gradients of weights are told apart by a hook, and one pass gives the peak with them and without.

    Args:
        ignored: tensors that exist before and are counted elsewhere, as parameters.
    """

    def __init__(self, ignored: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self.peak_with_gradients = 0
        self.gradients = 0
        self._followed: set[int] = set()
        self._ignored = [tensor.untyped_storage() for tensor in ignored]  # alive, so that no other takes their ids
        self._followed.update(storage._cdata for storage in self._ignored)

    def start_peak(self) -> None:
        """Forget the peaks so far."""
        self.peak = self.live
        self.peak_with_gradients = self.live + self.gradients

    def take_gradient(self, parameter: Tensor) -> None:
        """Hook for `register_post_accumulate_grad_hook`: count the gradient apart from all else, and free it."""
        if parameter.grad is not None:
            self.gradients += parameter.grad.numel() * parameter.grad.element_size()
        parameter.grad = None

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in [result] if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._follow(leaf)
        self.peak = max(self.peak, self.live)
        self.peak_with_gradients = max(self.peak_with_gradients, self.live + self.gradients)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._followed:
            return
        num_bytes = storage.nbytes()
        self._followed.add(key)
        self.live += num_bytes
        weakref.finalize(storage, self._forget, key, num_bytes).atexit = False

    def _forget(self, key: int, num_bytes: int) -> None:
        self._followed.discard(key)
        self.live -= num_bytes


@contextmanager
def gradients_taken(parameters: Iterable[nn.Parameter], tracker: LiveBytes) -> Iterator[None]:
    """Every gradient of `parameters` goes to `tracker` as soon as it is made."""
    hooks = [p.register_post_accumulate_grad_hook(tracker.take_gradient) for p in parameters if p.requires_grad]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Phase:
    """What a part of a step holds beyond weights, gradients of earlier parts and optimizer.

    Attributes:
        name: in words.
        is_backward: part of the backward pass.
        peak: the most bytes, without gradients of weights beyond the one in the making.
        peak_with_gradients: the same if every gradient stays once it is made.
    """

    name: str
    is_backward: bool
    peak: int
    peak_with_gradients: int
