"""Weight initialisation of the backbone."""

import math

import torch
from torch import nn


def init_weights(model: nn.Module, std: float = 0.02, limit: float = 2.0) -> None:
    """Initialise linear layers, `pos_embed` and `cls_token` by a truncated normal distribution, linear biases by zero.

    Convolutions, normalisation layers and relative position tables keep the values of their own constructors.

    Args:
        model: Model to initialise in place.
        std: Standard deviation before truncation.
        limit: Absolute value at which the distribution is truncated.
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
    """Divide the output weights of attention and MLP in block i = 0, 1, ... by sqrt(2 (i + 1)), as BEiT does.

    After block i the residual stream is the sum of 2 (i + 1) branches; without the division its variance would grow
    with the depth.
    """
    with torch.no_grad():
        for i, block in enumerate(model.get_submodule("blocks").children()):
            # The last layer of an MLP is `fc2`, that of a gated one `w3`.
            mlp_output = "mlp.w3.weight" if hasattr(block.mlp, "w3") else "mlp.fc2.weight"
            for name in ("attn.proj.weight", mlp_output):
                block.get_parameter(name).div_(math.sqrt(2 * (i + 1)))
