"""Keeping only the inputs of the backbone's blocks for the backward pass, which runs the blocks again."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError, check_choice

CHOICES = ("torch", "fairscale", "fairscale_offload")


def checkpoint_activations(model: nn.Module, how: str) -> None:
    """Recompute the blocks of every EVA backbone in `model` in the backward pass; names and numbers stay the same.

    Random numbers (stochastic depth, dropout) and autocast are in the second run what they were in the first.

    Args:
        how: "" leaves what the model's own options say. "torch" is the backbone's own option. "fairscale" wraps the
            blocks with fairscale's `checkpoint_wrapper`, "fairscale_offload" also keeps their inputs on the CPU.

    Raises:
        InputError: another word, a model without an EVA backbone, or fairscale is not installed.
    """
    if not how:
        return
    check_choice("train.activation_checkpointing", how, CHOICES)
    backbones = [module for module in model.modules() if isinstance(module, VisionTransformer)]
    if not backbones:
        raise InputError(f"train.activation_checkpointing={how!r} needs an EVA backbone, and the model has none")
    wrapper = None if how == "torch" else _fairscale_wrapper(how)
    for vit in backbones:
        vit.checkpoint_blocks = wrapper is None
        if wrapper is not None:
            for block in vit.blocks:
                block.forward = _FairscaleForward(block, wrapper).run


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

    The wrapper is made for every call, around a module that is thrown away, for two reasons. Left on the block, it
    would hold on to that very block, and a copy of the model (a moving average) would compute with the weights of the
    original. And it repeats autocast on CUDA only, always in float16: the state is handed to the second run instead.
    """

    def __init__(self, block: nn.Module, wrapper: Callable[[nn.Module], nn.Module]) -> None:
        self.block, self.wrapper = block, wrapper

    def run(self, x: torch.Tensor, *args: Any) -> torch.Tensor:
        device = x.device.type
        autocast = partial(
            torch.autocast,
            device,
            dtype=torch.get_autocast_dtype(device),
            enabled=torch.is_autocast_enabled(device),
            cache_enabled=torch.is_autocast_cache_enabled(),
        )
        wrapped = self.wrapper(_Recomputed(self.block))
        with torch.autocast(device, enabled=False), warnings.catch_warnings():
            # Wrong of a block behind frozen ones: its own parameters do get their gradients.
            warnings.filterwarnings("ignore", "None of the inputs have requires_grad=True")
            return wrapped(autocast, x, *args)


class _Recomputed(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, autocast: partial, x: torch.Tensor, *args: Any) -> torch.Tensor:
        with autocast():
            return type(self.block).forward(self.block, x, *args)
