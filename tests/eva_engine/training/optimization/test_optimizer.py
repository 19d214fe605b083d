"""The optimizer of a recipe contains no config objects."""

import io

import pytest
import torch
from detectron2.config import LazyCall
from omegaconf import OmegaConf
from torch import nn

from eva_engine.training.optimization import build_optimizer


def parameters(model):
    return list(model.parameters())


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.NAdam])
def test_state_can_be_saved_as_plain_weights(kind):
    optimizer = LazyCall(kind)(params=LazyCall(parameters)(), betas=(0.8, 0.9))
    cfg = OmegaConf.create({"optimizer": optimizer}, flags={"allow_objects": True})
    built = build_optimizer(cfg, nn.Linear(2, 1))
    assert built.param_groups[0]["betas"] == (0.8, 0.9)
    assert "model" not in cfg.optimizer.params
    file = io.BytesIO()
    torch.save(built.state_dict(), file)
    file.seek(0)
    assert torch.load(file, weights_only=True)["param_groups"][0]["betas"] == (0.8, 0.9)
