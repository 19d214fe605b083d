"""Learning rates and weight decay of the two towers."""

import pytest
import torch
from torch import nn

from eva_backbone.errors import InputError
from eva_clip import build_model
from eva_clip.parameter_groups import tower_layer_decay_groups


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.device("meta"):
        return build_model("eva_clip_tiny", visual={"depth": 3}, text={"num_layers": 2})


def by_name(model: nn.Module, groups: list[dict]) -> dict[str, tuple[float, float]]:
    settings = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(settings) == sum(len(group["params"]) for group in groups)
    return {name: settings[id(p)] for name, p in model.named_parameters() if id(p) in settings}


@pytest.mark.parametrize(
    ("name", "lr", "decay"),
    [
        ("visual.patch_embed.proj.weight", 4 * 0.5**4, 0.1),
        ("visual.cls_token", 4 * 0.5**4, 0.0),
        ("visual.pos_embed", 4 * 0.5**4, 0.0),
        ("visual.blocks.0.attn.qkv.weight", 4 * 0.5**3, 0.1),
        ("visual.blocks.2.attn.q_bias", 4 * 0.5, 0.0),
        ("visual.norm.weight", 4, 0.0),
        ("visual.head.weight", 4, 0.1),
        ("text.token_embedding.weight", 2 * 0.1**3, 0.1),
        ("text.positional_embedding", 2 * 0.1**3, 0.0),
        ("text.transformer.resblocks.0.attn.in_proj_weight", 2 * 0.1**2, 0.1),
        ("text.transformer.resblocks.1.attn.in_proj_bias", 2 * 0.1, 0.0),
        ("text.transformer.resblocks.1.mlp.c_fc.weight", 2 * 0.1, 0.1),
        ("text.ln_final.bias", 2, 0.0),
        ("text.text_projection", 2, 0.1),
        ("text.logit_scale", 8, 0.0),
    ],
)
def test_learning_rate_and_decay_by_name(model, name, lr, decay):
    settings = by_name(model, tower_layer_decay_groups(model, 4, 2, 8, 0.1, visual_decay_rate=0.5, text_decay_rate=0.1))
    assert settings.keys() == dict(model.named_parameters()).keys()
    assert settings[name] == pytest.approx((lr, decay))


def test_frozen_parameters_are_in_no_group_and_mistakes_are_reported():
    model = build_model("eva_clip_tiny")
    model.visual.requires_grad_(False)
    assert all(name.startswith("text.") for name in by_name(model, tower_layer_decay_groups(model, 1, 1, 1, 0.1)))
    with pytest.raises(InputError, match=r"decay rate of 1\.5"):
        tower_layer_decay_groups(model, 1, 1, 1, 0.1, text_decay_rate=1.5)
    with pytest.raises(InputError, match="supports EVA-CLIP only"):
        tower_layer_decay_groups(nn.Linear(2, 2), 1, 1, 1, 0.1)
