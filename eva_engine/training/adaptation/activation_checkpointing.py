"""Activation checkpointing: keep only the inputs of blocks for the backward pass, and recompute the rest there."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from eva_backbone.errors import InputError
from eva_engine.backbones import require_backbones

CHOICES = ("", "torch", "fairscale", "fairscale_offload")


def checkpoint_activations(model: nn.Module, how: str) -> None:
    """Let every backbone in `model` checkpoint its blocks, in place.

    A backbone with an attribute `checkpoint_blocks` does so itself. In any other one the forward method of each block
    is replaced, so that it takes effect in whatever way the backbone calls its blocks.

    Args:
        model: A model in training.
        how: "torch" for `torch.utils.checkpoint`, "fairscale" for fairscale's wrapper, "fairscale_offload" to keep the
            blocks' inputs in the memory of the CPU as well; "" leaves the model as its own options say.

    Raises:
        InputError: An unknown setting, a model without blocks, or fairscale is not installed.
    """
    if how not in CHOICES:
        raise InputError(f"train.activation_checkpointing={how!r} is not known; choose one of {', '.join(CHOICES[1:])}")
    if not how:
        return
    wrapper = None if how == "torch" else _fairscale_wrapper(how)
    for _, backbone in require_backbones(model, f"train.activation_checkpointing={how}"):
        is_native = hasattr(backbone, "checkpoint_blocks")
        if is_native:
            backbone.checkpoint_blocks = wrapper is None
        for block in backbone.blocks:
            if wrapper is not None:
                block.forward = _FairscaleForward(block, wrapper).run
            elif not is_native:
                block.forward = _CheckpointedForward(block).run


class _CheckpointedForward:
    """The forward method of a block under `torch.utils.checkpoint`.

    A copy of the model, as for a moving average, copies this object with the block, so it refers to its own block.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return checkpoint(type(self.block).forward, self.block, *args, use_reentrant=False, **kwargs)


def _fairscale_wrapper(how: str) -> Callable[[nn.Module], nn.Module]:
    try:
        from fairscale.nn.checkpoint import checkpoint_wrapper
    except ImportError as error:
        raise InputError(
            f"train.activation_checkpointing={how!r} needs fairscale, which cannot be imported ({error}): "
            'pip install fairscale, or choose "torch"'
        ) from error
    return partial(checkpoint_wrapper, offload_to_cpu=how == "fairscale_offload")


class _FairscaleForward:
    """The forward method of a block under fairscale's wrapper.

    The wrapper is created anew for each call, around a temporary module, for two reasons. If it stayed on the block, it
    would keep a reference to that very block, and a copy of the model (a moving average) would compute with the weights
    of the original. And it restores autocast on CUDA only, always in float16; here the recomputation gets the autocast
    state of the first pass explicitly.
    """

    def __init__(self, block: nn.Module, wrapper: Callable[[nn.Module], nn.Module]) -> None:
        self.block, self.wrapper = block, wrapper

    def run(self, x: torch.Tensor, *args: Any) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return type(self.block).forward(self.block, x, *args)
        device = x.device.type
        autocast = partial(
            torch.autocast,
            device,
            dtype=torch.get_autocast_dtype(device),
            enabled=torch.is_autocast_enabled(device),
            cache_enabled=torch.is_autocast_cache_enabled(),
        )
        wrapped = self.wrapper(_WithAutocast(self.block))
        with torch.autocast(device, enabled=False), warnings.catch_warnings():
            # The warning is wrong for a block after frozen ones: its own parameters do get gradients.
            warnings.filterwarnings("ignore", "None of the inputs have requires_grad=True")
            return wrapped(autocast, x, *args)


class _WithAutocast(nn.Module):
    """Runs a block under a given autocast state, and in both passes with the kernels for gradients.

    fairscale's first pass disables gradients, and without gradients attention in bfloat16 or float16 takes another
    kernel on the CPU, whose rounding the recomputation would not repeat. The graph of a first pass is dropped at once.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, autocast: partial, x: torch.Tensor, *args: Any) -> torch.Tensor:
        is_first_pass = not torch.is_grad_enabled()
        with autocast(), torch.enable_grad():
            output = type(self.block).forward(self.block, x, *args)
        return output.detach() if is_first_pass else output
