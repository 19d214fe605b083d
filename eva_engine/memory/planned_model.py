"""The model of a recipe, as far as a plan of its memory needs it."""

import torch
from detectron2.config import instantiate
from omegaconf import DictConfig
from torch import nn

from eva_backbone.deferred_init import deferred_init
from eva_backbone.errors import InputError
from eva_engine.memory.synthetic_batch import SyntheticBatch, find_synthetic_batch
from eva_engine.training.adaptation import adapt_model


def model_on_meta(cfg: DictConfig) -> nn.Module:
    """The model with what `train.freeze`, `train.lora` and `train.activation_checkpointing` do to it; no memory."""
    with torch.device("meta"):
        model = instantiate(cfg.model)
        adapt_model(model, cfg.train)
    return model


def synthetic_batch(cfg: DictConfig) -> SyntheticBatch:
    """The made batches of the recipe's task.

    Raises:
        InputError: a model of which none are known.
    """
    return find_synthetic_batch(cfg, model_on_meta(cfg))


def at_side(cfg: DictConfig, side: int) -> list[str]:
    """Overrides by which the recipe trains on images of `side` x `side` pixels.

    Raises:
        InputError: its images have one size only, or no patches of that size.
    """
    made = synthetic_batch(cfg)
    overrides = made.resolution_overrides(side)
    if not overrides or side % made.side_unit:
        reason = f"is no multiple of {made.side_unit}" if overrides else f"is not offered: the size is {made.side}"
        raise InputError(f"a side of {side} pixels {reason}; choose another one for this recipe")
    return overrides


def model_with_real_heads(cfg: DictConfig) -> nn.Module:
    """The same on the CPU, with initialised weights outside of `backbone`; inside they are never written to.

    Raises:
        InputError: a model without `backbone`.
    """
    with deferred_init() as pending:
        model = instantiate(cfg.model)
        if not isinstance(getattr(model, "backbone", None), nn.Module):
            raise InputError(
                f"{type(model).__name__} has no part called backbone; detectors are planned in that layout"
            )
        adapt_model(model, cfg.train)
    pending.materialize(model, {name for name, _ in model.named_parameters() if not name.startswith("backbone.")})
    return model.train()
