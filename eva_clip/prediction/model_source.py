"""The model of a recipe, and how it sees a picture."""

from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf

from eva_engine.prediction.trained_model import load_trained

from ..clip import Clip
from ..transforms import Transform, evaluation_transform


def load_model(cfg: Any, weights: str | Path, dtype: torch.dtype = torch.float32) -> tuple[Clip, Transform]:
    """A model in evaluation mode on the CPU, and the transform of its evaluation, for RGB images.

    Args:
        cfg: a recipe of ``projects/CLIP/configs`` with both towers, or what a run left of one.
        weights: a weight file of the model, also one of open_clip.
        dtype: of the parameters.

    Raises:
        InputError: weights that are unreadable or leave a part of the model random.
    """
    model = load_trained(cfg, weights, Clip).to(dtype)
    transform = OmegaConf.select(cfg, "dataloader.test.mapper.transform", default=None)
    if transform is not None:
        return model, instantiate(transform)
    return model, evaluation_transform(model.visual.pos_grid[-1] * model.visual.patch_size)
