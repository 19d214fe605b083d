"""Compile transformer blocks with `torch.compile`: the setting `train.compile`, and the same for prediction.

Each block is compiled for itself, and blocks of the same kind share their code ("regional compilation" in PyTorch's
documentation). The time to compile therefore does not grow with the depth of the model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from eva_backbone.errors import InputError

from .backbones import require_backbones, transformer_blocks

# Backend of `torch.compile`, which generates C++ for the CPU and Triton for CUDA.
BACKEND: str | Callable[..., Any] = "inductor"
# Largest number of versions of a kind of block: for other sizes, data types, with and without gradients. A block that
# would need yet another one runs uncompiled. PyTorch's 8 are too few for a model with windows, residual convolutions
# and frozen blocks, whose differences all count.
MAX_VERSIONS = 32


def compile_blocks(model: nn.Module, setting: str) -> None:
    """Compile every transformer block in `model`, in place; each kind of block is compiled when it is first called.

    Modules, parameters and their names do not change, so the state dict fits the uncompiled model. A copy of the model
    is not compiled. In training, stochastic depth draws other random numbers than in uncompiled blocks.

    Sizes that change are compiled twice: for the first size, then for any size.

    Args:
        model: A model on its device, after `adapt_model` and `parallelize`.
        setting: What the user has set, for the error message.

    Raises:
        InputError: No part of the model lists transformer blocks.
    """
    require_backbones(model, setting)
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, MAX_VERSIONS)
    # DistributedDataParallel would cut each block into one program for each bucket of gradients. Blocks are small
    # enough for its exchange to overlap with the backward pass.
    config.optimize_ddp = False
    for block in transformer_blocks(model):
        _share_stochastic_depth(block)
        block.compile(backend=BACKEND)


def compile_for_prediction(model: nn.Module, device: torch.device | str, setting: str = "--compile") -> None:
    """Compile the blocks of a loaded model, in place; outputs equal the uncompiled ones up to rounding.

    Args:
        model: A model in evaluation mode on `device`.
        device: Device of the model.
        setting: Option of the user, for error messages.

    Raises:
        InputError: This machine has no compiler, or no part of the model lists transformer blocks.
    """
    check_compiler(device, setting)
    compile_blocks(model, setting)


def check_compilation(train: Any) -> None:
    """Check that `train.compile` of a recipe can be used on this machine, if it is set.

    Raises:
        InputError: There is no compiler, or another setting excludes it.
    """
    if not train.compile:
        return
    if train.activation_checkpointing.startswith("fairscale"):
        raise InputError(
            f"train.activation_checkpointing={train.activation_checkpointing} cannot be compiled, because fairscale "
            "wraps a block anew in each call; set train.activation_checkpointing=torch or train.compile=False"
        )
    check_compiler(train.device, "train.compile=True")


def check_compiler(device: torch.device | str, setting: str) -> None:
    """Compile one operation for `device`, to find out now rather than after the model is built whether it works.

    Raises:
        InputError: It fails, mostly for want of a C++ compiler.
    """
    # Without the cache, which may contain this operation from a time when there was a compiler.
    options: dict[str, Any] = {"force_disable_caches": True} if BACKEND == "inductor" else {}
    try:
        torch.compile(_add_one, backend=BACKEND, options=options or None)(torch.zeros(8, device=device))
    except Exception as error:  # of many classes: of PyTorch, of the compiler that it calls, of the operating system
        cause = getattr(error, "inner_exception", error)
        reason = str(cause).partition("\n")[0] or type(cause).__name__
        raise InputError(
            f"{setting} cannot compile on this machine ({reason}); install a C++ compiler such as g++ and the headers "
            "of Python, or leave it out"
        ) from error


def _add_one(x: Tensor) -> Tensor:
    return x + 1


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Run compiled blocks of `model` uncompiled inside of the context."""
    compiled = [module for module in model.modules() if module._compiled_call_impl is not None]
    calls = [module._compiled_call_impl for module in compiled]
    for module in compiled:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for module, call in zip(compiled, calls, strict=True):
            module._compiled_call_impl = call


def _share_stochastic_depth(block: nn.Module) -> None:
    """Replace timm's `DropPath` layers in a block, whose rate would become a constant of the compiled code.

    The rate differs from block to block, so every block would be compiled for itself.
    """
    device = next(block.parameters()).device
    for module in list(block.modules()):
        for name, child in list(module.named_children()):
            if type(child) is DropPath:
                setattr(module, name, _DropPath(child, device))


class _DropPath(nn.Module):
    """Stochastic depth as in timm's layer, with the rate in a tensor."""

    def __init__(self, layer: DropPath, device: torch.device) -> None:
        super().__init__()
        self.keep_prob = torch.tensor(1 - layer.drop_prob, device=device)
        # What is kept is divided by the probability, so that its mean does not change; timm can leave that out.
        self.divisor = self.keep_prob if layer.scale_by_keep else torch.ones((), device=device)
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        drawn = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)
        kept = drawn < self.keep_prob.to(x.device)  # another device if FSDP keeps the weights on the CPU
        return x * (kept / self.divisor.to(x.device)).to(x.dtype)
