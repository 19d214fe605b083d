"""Modules without memory: fake parameters, and the kernels that the planned device would use."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from eva_backbone.attention_kernels import choose_kernels_for
from eva_engine.backbones import transformer_blocks


def make_fake(module: nn.Module, mode: FakeTensorMode, dtype: torch.dtype | None = None) -> None:
    """Replace every parameter and buffer of `module` in place with a fake one of `mode`; shared ones stay shared.

    Tensors on the meta device become fake tensors on the CPU.

    Args:
        module: Any module.
        mode: Mode that the fake tensors belong to.
        dtype: New dtype of the parameters; None keeps theirs.
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
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(fake, tensor.requires_grad)
    return fake


def gather_blocks(model: nn.Module, mode: FakeTensorMode, dtype: torch.dtype) -> None:
    """Convert weights and inputs of the transformer blocks to `dtype` in place, as FSDP does when it gathers them."""
    for block in transformer_blocks(model):
        make_fake(block, mode, dtype)
        block.register_forward_pre_hook(lambda _, args: (args[0].to(dtype), *args[1:]))


@contextmanager
def fake_run(mode: FakeTensorMode, device_type: str) -> Iterator[None]:
    """Run models with fake tensors as they would run on `device_type`.

    The fake tensors themselves are on the CPU: on "cuda" they run forward anywhere, but backward needs a GPU. What
    would differ is selected here: the attention kernel, and the operations that autocast widens on CUDA only.
    """
    with ExitStack() as stack:
        stack.enter_context(mode)
        stack.enter_context(choose_kernels_for(device_type))
        if device_type == "cuda":
            stack.enter_context(_widening_as_on_cuda())
        yield


@contextmanager
def _widening_as_on_cuda() -> Iterator[None]:
    """Let every call of a module use float32 where autocast does on CUDA.

    PyTorch suspends function modes during a backward pass, in which blocks with activation checkpointing run again.
    Therefore the mode is entered with the outermost module instead of once for all.
    """
    mode, depth = _WidenAsOnCuda(), 0

    def enter(_module: nn.Module, _args: Any) -> None:
        nonlocal depth
        if depth == 0:
            mode.__enter__()
        depth += 1

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            mode.__exit__(None, None, None)

    # A block that runs again is left by an exception as soon as all its activations are there.
    hooks = (register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _WidenAsOnCuda(TorchFunctionMode):
    """Use float32 for the operations that autocast runs in float32 on CUDA but not on the CPU."""

    _WIDENED = (F.layer_norm, F.group_norm, F.softmax, torch.softmax, torch.Tensor.softmax)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._WIDENED and torch.is_autocast_enabled("cpu"):
            args = tuple(x.float() if isinstance(x, torch.Tensor) else x for x in args)
        return func(*args, **(kwargs or {}))
