"""Memory for time: layers that keep only their inputs for the backward pass."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def run_layer(layer: nn.Module, *args: Any, recompute: bool) -> Any:
    """`layer(*args)`; with `recompute` only its inputs are kept for the backward pass, which runs it again."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(layer, *args, use_reentrant=False)
    return layer(*args)
