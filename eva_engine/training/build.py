"""The model of a recipe: its weights, what of it is trained, and where it is."""

import logging
from pathlib import Path

from detectron2.config import instantiate
from detectron2.utils.file_io import PathManager
from omegaconf import DictConfig
from torch import nn

from eva_backbone.deferred_init import deferred_init
from eva_engine.checkpoint import build_and_load
from eva_engine.checkpoint.loading import assign_weights

from .adaptation import adapt_model

logger = logging.getLogger(__name__)


def build_model(cfg: DictConfig, weights: str = "", *, averaged: bool = False, complete: bool = False) -> nn.Module:
    """Model of `cfg.model` on `train.device`, in training mode, as it is evaluated.

    Args:
        weights: file to load, initialisers of what it holds are then not run; empty: random weights.
        averaged: load the moving average of the weights where the file has one.
        complete: no parameter may be left random.

    Raises:
        InputError: a weight file that cannot be read, is of another model, or is not `complete`.
    """
    if weights:
        # "?matching_heuristics=True" behind addresses in stock configs says how Detectron2 should match names.
        local = PathManager.get_local_path(weights.partition("?")[0]) if "://" in weights else weights
        model, _ = build_and_load(lambda: instantiate(cfg.model), local, averaged=averaged, complete=complete)
    else:
        logger.info("train.init_checkpoint is empty: the model starts from random weights")
        model = instantiate(cfg.model)
    return model.to(cfg.train.device)


def build_training_model(cfg: DictConfig) -> nn.Module:
    """The model at the start of a new run, with `train.freeze`, `train.lora` and `train.activation_checkpointing`."""
    model = build_model(cfg, cfg.train.init_checkpoint)
    adapt_model(model, cfg.train)
    return model


def rebuild_training_model(cfg: DictConfig, state: dict | None, path: Path) -> nn.Module:
    """The model of a run that goes on from the checkpoint `path`.

    Args:
        state: content of the checkpoint, whose weights the model takes; None leaves the weights without values, to be
            read into them.

    Raises:
        InputError: the weights are not exactly those of the recipe's model.
    """
    with deferred_init() as pending:
        model = instantiate(cfg.model)
    if state is None:
        pending.materialize(model, ())
    adapt_model(model, cfg.train)
    if state is not None:
        assign_weights(model, state["model"], path, pending, strict=True)
    return model.to(cfg.train.device)
