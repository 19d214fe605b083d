"""The model of a recipe, with its weights."""

import logging

from detectron2.config import instantiate
from detectron2.utils.file_io import PathManager
from omegaconf import DictConfig
from torch import nn

from detectron2_ext.checkpoint import build_and_load

logger = logging.getLogger(__name__)


def build_model(cfg: DictConfig, weights: str = "") -> nn.Module:
    """Model of `cfg.model` on `train.device`, in training mode.

    Args:
        weights: file to load, initialisers of what it holds are then not run; empty: random weights.

    Raises:
        InputError: a weight file that cannot be read or is of another model.
    """
    if weights:
        # "?matching_heuristics=True" behind addresses in stock configs says how Detectron2 should match names.
        local = PathManager.get_local_path(weights.partition("?")[0]) if "://" in weights else weights
        model, _ = build_and_load(lambda: instantiate(cfg.model), local)
    else:
        logger.info("train.init_checkpoint is empty: the model starts from random weights")
        model = instantiate(cfg.model)
    return model.to(cfg.train.device)
