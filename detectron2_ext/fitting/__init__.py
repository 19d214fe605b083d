"""Recipes that fit themselves to the training data, and warnings about recipes that do not fit it."""

import logging
from collections.abc import Collection

from omegaconf import DictConfig

from eva_engine.config.instantiation import instantiate

from .anchors import fit_anchors
from .misfits import pixel_misfits
from .pixel_statistics import PixelStatistics, pixel_statistics
from .recipe_fit import RecipeFit, fit_recipe

__all__ = [
    "PixelStatistics",
    "RecipeFit",
    "fit_anchors",
    "fit_recipe",
    "fit_to_data",
    "pixel_misfits",
    "pixel_statistics",
]

logger = logging.getLogger(__name__)


def fit_to_data(cfg: DictConfig, given: Collection[str]) -> None:
    """Fit a recipe with a group `fit` to its training data; warn of pixel statistics that do not fit custom data.

    What else may not fit, such as anchors, is found by the data check, which follows.

    Args:
        cfg: Recipe of a detector; modified in place.
        given: Keys that the user has set; they keep their values.
    """
    fits_itself, is_custom = cfg.get("fit") is not None, cfg.dataloader.get("custom_data") is not None
    if not fits_itself and not is_custom:
        return
    records = instantiate(cfg.dataloader.train.dataset)
    if fits_itself:
        fit_recipe(cfg, records, given)
    if is_custom:
        for sentence in pixel_misfits(cfg, records):
            logger.warning("%s", sentence)
