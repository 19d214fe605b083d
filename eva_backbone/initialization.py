"""Initial weights of a fresh backbone."""

import math

import torch
from torch import nn


def init_weights(model: nn.Module, std: float = 0.02, limit: float = 2.0) -> None:
    """Normal weights cut off at +-`limit` for linear layers, position tables and tokens; zero linear biases.

    Convolutions, normalisations and relative position tables keep what their own constructors gave them.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std, a=-limit, b=limit)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name in ("pos_embed", "cls_token"):
        parameter = getattr(model, name, None)
        if parameter is not None:
            nn.init.trunc_normal_(parameter, std=std, a=-limit, b=limit)


def scale_branch_outputs(model: nn.Module) -> None:
    """Divide the last weights of both branches of block i = 0, 1, ... by sqrt(2 (i + 1)), as BEiT does."""
    with torch.no_grad():
        for i, block in enumerate(model.get_submodule("blocks").children()):
            for name in ("attn.proj.weight", "mlp.fc2.weight"):
                block.get_parameter(name).div_(math.sqrt(2 * (i + 1)))
