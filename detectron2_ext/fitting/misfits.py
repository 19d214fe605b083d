"""Pixel statistics of a recipe that do not fit the data that it is trained on."""

from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig, OmegaConf

from eva_engine.config.instantiation import instantiate

from .pixel_statistics import pixel_statistics

_FAR = 1.0  # distance of a measured mean, in standard deviations of the recipe
_OTHER_SPREAD = 2.0  # factor between two standard deviations


def pixel_misfits(cfg: DictConfig, records: Sequence[dict]) -> list[str]:
    """Return a sentence with the measured statistics and the override if those of a recipe are far from them.

    They matter only to a model that starts from random weights: others need the statistics of their training.

    Args:
        cfg: Recipe of a detector.
        records: Its training data as Detectron2 dataset dicts.
    """
    if cfg.train.init_checkpoint or OmegaConf.select(cfg, "model.backbone.net.pretrained"):
        return []
    measured = pixel_statistics(records, cfg.model.input_format)
    # A recipe with a ViT of timm calls a function for them.
    mean, std = (np.array(instantiate(cfg.model[key]), dtype=float) for key in ("pixel_mean", "pixel_std"))
    if len(mean) != len(measured.mean):
        return []
    spread = np.maximum(std / measured.std, np.array(measured.std) / std)
    if (np.abs(mean - measured.mean) <= _FAR * std).all() and (spread <= _OTHER_SPREAD).all():
        return []
    new_mean, new_std = (str(list(values)).replace(" ", "") for values in (measured.mean, measured.std))
    # A call cannot be replaced on the command line.
    advice = "give" if OmegaConf.is_list(cfg.model.pixel_mean) else "set in a recipe of your own"
    return [
        f"{measured.num_images} images have the mean {new_mean} and the standard deviation {new_std}, the recipe has "
        f"{mean.tolist()} and {std.tolist()}, and no weights that need these; {advice} "
        f"model.pixel_mean={new_mean} model.pixel_std={new_std}"
    ]
