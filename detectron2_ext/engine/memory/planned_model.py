"""The model of a recipe, as far as a plan of its memory needs it."""

import torch
from detectron2.config import instantiate
from omegaconf import DictConfig
from torch import nn

from detectron2_ext.engine.adaptation import adapt_model
from eva_backbone.deferred_init import deferred_init
from eva_backbone.errors import InputError


def model_on_meta(cfg: DictConfig) -> nn.Module:
    """The model with what `train.freeze`, `train.lora` and `train.activation_checkpointing` do to it; no memory."""
    with torch.device("meta"):
        model = instantiate(cfg.model)
        adapt_model(model, cfg.train)
    return model


def model_with_real_heads(cfg: DictConfig) -> nn.Module:
    """The same on the CPU, with initialised weights outside of `backbone`; inside they are never written to.

    Raises:
        InputError: a model without `backbone`.
    """
    with deferred_init() as pending:
        model = instantiate(cfg.model)
        if not isinstance(getattr(model, "backbone", None), nn.Module):
            raise InputError(
                f"{type(model).__name__} has no part called backbone; the plan is made for detectors of that layout"
            )
        adapt_model(model, cfg.train)
    pending.materialize(model, {name for name, _ in model.named_parameters() if not name.startswith("backbone.")})
    return model.train()
