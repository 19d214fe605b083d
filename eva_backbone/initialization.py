"""Initial weights of a fresh backbone."""

import math

import torch
from torch import nn


def init_weights(model: nn.Module, std: float = 0.02) -> None:
    """Truncated normal weights for linear layers, position tables and tokens; zero linear biases.

    Convolutions, normalisations and relative position tables keep what their own constructors gave them.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name in ("pos_embed", "cls_token"):
        parameter = getattr(model, name, None)
        if parameter is not None:
            nn.init.trunc_normal_(parameter, std=std)


@torch.no_grad()
def rescale_by_depth(model: nn.Module) -> None:
    """Divide the output projections of block i (from 0) by sqrt(2 (i + 1)), as the classification recipes do."""
    for i, block in enumerate(model.blocks):
        for projection in (block.attn.proj, block.mlp.fc2):
            projection.weight.div_(math.sqrt(2.0 * (i + 1)))
