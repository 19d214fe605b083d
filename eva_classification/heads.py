"""What turns one feature vector per image into scores of classes."""

from typing import Literal, get_args

import torch
from torch import nn

from eva_backbone.errors import check_choice

HeadKind = Literal["linear", "probe"]
LINEAR_STD, LINEAR_SCALE = 0.02, 0.001
PROBE_STD = 0.01


def build_head(kind: HeadKind, dim: int, num_classes: int) -> nn.Module:
    """A head over features [B, dim], with its published initial weights.

    "linear" starts so close to zero that all classes are equally likely. "probe" puts a batch normalisation without
    learned factors in front, as linear probes of frozen features do.

    Raises:
        InputError: another kind.
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
