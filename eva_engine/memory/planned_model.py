"""The model of a recipe without memory for its weights."""

import torch
from omegaconf import DictConfig
from torch import nn

from eva_engine.config.instantiation import instantiate
from eva_engine.training.adaptation import adapt_model


def model_on_meta(cfg: DictConfig) -> nn.Module:
    """Build the model on the meta device, with `train.freeze`, `train.lora` and `train.activation_checkpointing`."""
    with torch.device("meta"):
        model = instantiate(cfg.model)
        adapt_model(model, cfg.train)
    return model
