"""Track the bytes of live tensors operation by operation, for real and fake tensors."""

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
    """Track the storages that operations make in this context until they are freed.

    PyTorch's `torch.distributed._tools.MemTracker` measures the same peak, and the tests compare with it. It hooks
    every module and keeps snapshots per module, in order to separate gradients from activations; here a hook on the
    parameters separates them, so that one pass gives the peak with and without gradients.

    Args:
        ignored: Tensors that exist already and are counted elsewhere, such as parameters.

    Attributes:
        live: Bytes that are alive now.
        peak: Largest value of `live` since `start_peak`.
        gradients: Bytes of the gradients that `take_gradient` removed.
        peak_with_gradients: The peak if those gradients had stayed.
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
        """Start to measure a new peak."""
        self.peak = self.live
        self.peak_with_gradients = self.live + self.gradients

    def take_gradient(self, parameter: Tensor) -> None:
        """Count a gradient separately and free it; a hook for `register_post_accumulate_grad_hook`."""
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
    """Pass every gradient of `parameters` to `tracker` as soon as it is complete."""
    hooks = [p.register_post_accumulate_grad_hook(tracker.take_gradient) for p in parameters if p.requires_grad]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Phase:
    """A phase of a training step, and its memory beyond weights, gradients of earlier micro-batches and optimizer.

    Attributes:
        name: description.
        is_backward: Whether it belongs to the backward pass.
        peak: Peak in bytes if every gradient of a weight is freed as soon as it is complete.
        peak_with_gradients: Peak in bytes if these gradients stay.
    """

    name: str
    is_backward: bool
    peak: int
    peak_with_gradients: int
