"""UperNet's heads compared with transformers' modules with the same weights, in both modes, with gradients."""

import re

import pytest
import torch
from torch import nn
from transformers import UperNetConfig
from transformers.models.upernet.modeling_upernet import UperNetFCNHead, UperNetHead

from eva_semseg.feature_maps import FEATURE_NAMES
from eva_semseg.uper_head import FCNHead, UPerHead

CLASSES, CHANNELS, WIDTH = 5, 12, 8
# our name -> theirs
RULES = (
    (r"conv_seg\.", "classifier."),
    (r"psp_modules\.(\d)\.1\.", r"psp_modules.\1.1."),
    (r"\.bn\.", ".batch_norm."),
)


def build(kind: str) -> tuple[nn.Module, nn.Module]:
    """Build our head with random weights and statistics, and theirs with the same."""
    torch.manual_seed(0)
    config = UperNetConfig(
        num_labels=CLASSES, hidden_size=WIDTH, pool_scales=[1, 2, 3, 6], auxiliary_channels=WIDTH, auxiliary_num_convs=1
    )
    if kind == "decode":
        ours, theirs = UPerHead(CLASSES, CHANNELS, channels=WIDTH), UperNetHead(config, [CHANNELS] * 4)
    else:
        ours, theirs = FCNHead(CLASSES, CHANNELS, channels=WIDTH), UperNetFCNHead(config, [CHANNELS] * 4)
    with torch.no_grad():
        for name, value in ours.state_dict().items():
            if value.is_floating_point():
                value.add_(
                    0.3 * torch.rand_like(value) if name.endswith("running_var") else 0.2 * torch.randn_like(value)
                )
    renamed = {}
    for name, value in ours.state_dict().items():
        for pattern, replacement in RULES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    theirs.load_state_dict(renamed, strict=True)
    ours.dropout.p = 0.0  # transformers has no dropout here
    return ours, theirs


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
@pytest.mark.parametrize("kind", ["decode", "auxiliary"])
def test_logits_and_gradients(kind, size, training):
    ours, theirs = build(kind)
    features = {}
    for name, stride in zip(FEATURE_NAMES, (4, 8, 16, 32), strict=True):
        features[name] = torch.randn(2, CHANNELS, size[0] // stride, size[1] // stride, requires_grad=True)
    found = ours.train(training)(features)
    expected = theirs.train(training)(list(features.values()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    used = [feature for name, feature in features.items() if kind == "decode" or name == "res4"]
    weight = torch.randn_like(found)
    gradients = [torch.autograd.grad((logits * weight).sum(), used) for logits in (found, expected)]
    for mine, their in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, their, rtol=0, atol=1e-5 * float(their.abs().max()))
    for mine, their in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine.sort().values, their.sort().values)
