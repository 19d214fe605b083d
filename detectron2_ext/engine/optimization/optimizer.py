"""The optimizer of a recipe."""

import torch
from detectron2.config import instantiate
from omegaconf import DictConfig, ListConfig
from torch import nn


def build_optimizer(cfg: DictConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Optimizer of `cfg.optimizer` over the trainable parameters of `model`, grouped by learning rate and decay."""
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    del cfg.optimizer.params.model
    # Config lists would be pickled into checkpoints, which could then not be read as plain weights.
    for settings in (optimizer.defaults, *optimizer.param_groups):
        for name, value in settings.items():
            if isinstance(value, ListConfig):
                settings[name] = tuple(value)
    return optimizer
