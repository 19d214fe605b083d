"""Classification heads on pooled image features."""

from typing import Literal, get_args

import torch
from torch import nn

from eva_backbone.errors import check_choice

HeadKind = Literal["linear", "probe"]
LINEAR_STD, LINEAR_SCALE = 0.02, 0.001
PROBE_STD = 0.01


def build_head(kind: HeadKind, dim: int, num_classes: int) -> nn.Module:
    """Build a head for features [B, dim] with the initialisation of the published recipes.

    "linear" is initialised close to zero, so that all classes start with nearly equal probability. "probe" puts a batch
    normalisation without affine parameters before the linear layer, as is usual for linear probes of frozen features.

    Raises:
        InputError: `kind` is neither of these.
    """
    check_choice("head", kind, get_args(HeadKind))
    linear = nn.Linear(dim, num_classes)
    nn.init.zeros_(linear.bias)
    if kind == "probe":
        nn.init.trunc_normal_(linear.weight, std=PROBE_STD)
        return nn.Sequential(nn.BatchNorm1d(dim, affine=False, eps=1e-6), linear)
    nn.init.trunc_normal_(linear.weight, std=LINEAR_STD)
    with torch.no_grad():
        linear.weight.mul_(LINEAR_SCALE)
    return linear
