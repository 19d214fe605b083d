"""Modules without memory: fake parameters, and calls of PyTorch's kernels as the device of the plan would make them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode

from eva_backbone.attention import Attention
from eva_backbone.block import Block


def make_fake(module: nn.Module, mode: FakeTensorMode, dtype: torch.dtype | None = None) -> None:
    """Replace, in place, every parameter and buffer of `module` by a fake one of `mode`; shared ones stay shared.

    Those on the meta device become fake ones on the CPU.

    Args:
        dtype: of the parameters from then on; None leaves it.
    """
    replaced: dict[int, torch.Tensor] = {}
    for part in module.modules():
        both: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
        for entries in both:
            for name, tensor in entries.items():
                if tensor is None:
                    continue
                if id(tensor) not in replaced:
                    replaced[id(tensor)] = _fake(tensor, mode, dtype)
                entries[name] = replaced[id(tensor)]


def _fake(tensor: torch.Tensor, mode: FakeTensorMode, dtype: torch.dtype | None) -> torch.Tensor:
    dtype = dtype if isinstance(tensor, nn.Parameter) else None
    if dtype is None and not tensor.is_meta:
        return tensor if isinstance(tensor, FakeTensor) else mode.from_tensor(tensor)
    with mode:
        fake = torch.empty_like(tensor, dtype=dtype, device="cpu")
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake


def gather_blocks(model: nn.Module, mode: FakeTensorMode, dtype: torch.dtype) -> None:
    """Weights and inputs of the blocks in `dtype`, in place, as FSDP gathers them."""
    for block in filter(lambda module: isinstance(module, Block), model.modules()):
        make_fake(block, mode, dtype)
        block.register_forward_pre_hook(lambda _, args: (args[0].to(dtype), *args[1:]))


@contextmanager
def fake_run(mode: FakeTensorMode, model: nn.Module, device_type: str) -> Iterator[None]:
    """Run `model` with fake tensors as it would run on `device_type`.

    The fake tensors themselves are on the CPU: those on "cuda" run forward anywhere, but backward needs a GPU. What
    would differ is chosen here: the attention kernel, and the operations that autocast widens on CUDA only.
    """
    chosen = [part for part in model.modules() if isinstance(part, Attention) and part.kernel == "auto"]
    with ExitStack() as stack:
        stack.enter_context(mode)
        if device_type == "cuda":
            for part in chosen:
                part.kernel = "sdpa"
            stack.enter_context(_WidenAsOnCuda())
        try:
            yield
        finally:
            for part in chosen:
                part.kernel = "auto"


class _WidenAsOnCuda(TorchFunctionMode):
    """Float32 for the operations of this backbone that autocast runs in float32 on CUDA but not on the CPU."""

    _WIDENED = (F.layer_norm, F.group_norm, F.softmax, torch.softmax, torch.Tensor.softmax)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._WIDENED and torch.is_autocast_enabled("cpu"):
            args = tuple(x.float() if isinstance(x, torch.Tensor) else x for x in args)
        return func(*args, **(kwargs or {}))
