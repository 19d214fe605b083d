"""Build the model of a recipe, load its weights, and adapt it for training."""

import logging
from pathlib import Path

from detectron2.utils.file_io import PathManager
from omegaconf import DictConfig
from torch import nn

from eva_backbone.deferred_init import deferred_init
from eva_engine.checkpoint import build_and_load
from eva_engine.checkpoint.loading import assign_weights
from eva_engine.config.instantiation import instantiate
from eva_engine.inference_precision import FLOAT32, InferencePrecision

from .adaptation import adapt_model

logger = logging.getLogger(__name__)


def build_model(
    cfg: DictConfig,
    weights: str = "",
    *,
    averaged: bool = False,
    complete: bool = False,
    precision: InferencePrecision = FLOAT32,
) -> nn.Module:
    """Build the model of `cfg.model` on `train.device`, in training mode and without adaptations.

    Args:
        cfg: The recipe.
        weights: Weight file to load; parameters that it contains are not initialised first. Empty: random weights.
        averaged: Load the moving average of the weights if the file has one.
        complete: Require a value for every parameter.
        precision: Precision to convert the loaded model to for inference; see `build_and_load`.

    Raises:
        InputError: A weight file that cannot be read, that belongs to another model, or that is not `complete`.
    """
    if weights:
        # Stock configs append "?matching_heuristics=True" to URLs; it selects how Detectron2 would match names.
        local = PathManager.get_local_path(weights.partition("?")[0]) if "://" in weights else weights
        model, _ = build_and_load(
            lambda: instantiate(cfg.model), local, averaged=averaged, complete=complete, precision=precision
        )
    else:
        logger.info("train.init_checkpoint is empty: no weight file is read")
        model = instantiate(cfg.model)
    return model.to(cfg.train.device)


def build_training_model(cfg: DictConfig) -> nn.Module:
    """Build the model of a new run, with `train.freeze`, `train.lora` and `train.activation_checkpointing` applied."""
    model = build_model(cfg, cfg.train.init_checkpoint)
    adapt_model(model, cfg.train)
    return model


def rebuild_training_model(cfg: DictConfig, state: dict | None, path: Path) -> nn.Module:
    """Build the model of a run that is resumed from the checkpoint `path`.

    Args:
        cfg: The recipe.
        state: Content of the checkpoint, whose weights are assigned to the model. None allocates the weights without
            initialising them, for a caller that reads them in place.
        path: The checkpoint, for error messages.

    Raises:
        InputError: The names or shapes of the weights differ from those of the recipe's model.
    """
    with deferred_init() as pending:
        model = instantiate(cfg.model)
    if state is None:
        pending.materialize(model, ())
    adapt_model(model, cfg.train)
    if state is not None:
        assign_weights(model, state["model"], path, pending, strict=True)
    return model.to(cfg.train.device)
