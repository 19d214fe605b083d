"""Weight initialisation of the backbone."""

import math
import re

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


def init_weights_xavier(model: nn.Module, std: float = 0.02) -> None:
    """Initialise as the pre-training of EVA-02 does: by Xavier's rule, which follows the shape of each matrix.

    Linear layers are normal and the patch embedding uniform, linear biases zero. Tokens and positions are normal,
    truncated at one standard deviation. If the MLPs have a norm, the branches start larger, by sqrt(log(2 depth)), as
    Magneto does (Wang et al., "Foundation transformers", 2022): queries and keys are not scaled, since their product
    only decides where to look.

    Args:
        model: Model with `blocks`, to initialise in place.
        std: Standard deviation of tokens and positions before truncation.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    # A convolution whose stride is its kernel size is a linear layer of all values of a patch.
    nn.init.xavier_uniform_(model.get_parameter("patch_embed.proj.weight").flatten(1))
    for name in ("pos_embed", "cls_token", "mask_token"):
        parameter = getattr(model, name, None)
        if parameter is not None:
            nn.init.trunc_normal_(parameter, std=std, a=-std, b=std)
    blocks = dict(model.get_submodule("blocks").named_parameters())
    if any(name.endswith("mlp.ffn_ln.weight") for name in blocks):
        depth = sum(1 for _ in model.get_submodule("blocks").children())
        with torch.no_grad():
            for name, parameter in blocks.items():
                if re.search(r"\.(mlp\.(w\d|fc\d)|attn\.(v_proj|proj))\.weight$", name):
                    parameter.mul_(math.sqrt(math.log(2 * depth)))


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
