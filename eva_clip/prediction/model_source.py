"""The model of a command: a published one by its name, or that of a recipe."""

from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf

from detectron2_ext.checkpoint import build_and_load
from detectron2_ext.engine import load_config
from eva_backbone.errors import InputError

from ..clip import Clip
from ..models import create_model
from ..transforms import Transform, evaluation_transform


def load_model(
    weights: str | Path,
    *,
    name: str = "eva_clip_g14",
    config_file: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Clip, Transform]:
    """A model in evaluation mode on the CPU, and the transform of its evaluation, for RGB images.

    Args:
        weights: a weight file of the model.
        name: a model of `eva_clip.MODELS`.
        config_file: recipe of a model, in place of `name`, or what a run left of one.
        dtype: of the parameters.

    Raises:
        InputError: a config without such a model, or weights that leave a part of it random.
    """
    if config_file is None:
        model, transform = create_model(name, weights, dtype=dtype), None
    else:
        cfg = load_config(config_file)
        model, transform = _build(cfg, weights).to(dtype).eval(), _transform(cfg)
    return model, transform or evaluation_transform(model.visual.pos_grid[-1] * model.visual.patch_size)


def _build(cfg: Any, weights: str | Path) -> Clip:
    model, report = build_and_load(lambda: instantiate(cfg.model), weights)
    if not isinstance(model, Clip):
        raise InputError(
            f"the config has a {type(model).__name__}, no CLIP model: give a config of projects/CLIP/configs."
        )
    random = [*(change.name for change in report.skipped), *report.missing]
    if random:
        raise InputError(
            f"{weights} has no values for {len(random)} entries of the model ({random[0]}, ...), so that scores would "
            "be random: give weights of this model, and the config they were trained with."
        )
    return model


def _transform(cfg: Any) -> Transform | None:
    transform = OmegaConf.select(cfg, "dataloader.test.mapper.transform", default=None)
    return None if transform is None else instantiate(transform)
