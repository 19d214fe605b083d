"""A trained model for prediction: nothing in it may be random."""

from pathlib import Path
from typing import Any, TypeVar

import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint import build_and_load

Model = TypeVar("Model", bound=nn.Module)


def load_trained(cfg: Any, weights: str | Path, kind: type[Model]) -> Model:
    """The model of a recipe, on the CPU in evaluation mode.

    Args:
        cfg: the recipe.
        weights: a weight file of the model.
        kind: what the model has to be.

    Raises:
        InputError: a model of another kind; an unreadable file, or one that leaves parameters random.
    """

    def build() -> Model:
        model = instantiate(cfg.model)
        if not isinstance(model, kind):
            raise InputError(
                f"the config's model is a {type(model).__name__}; to predict, give the recipe of a {kind.__name__}."
            )
        return model

    # What the run's own evaluations measured.
    averaged = bool(OmegaConf.select(cfg, "train.ema.evaluate", default=False))
    model, _ = build_and_load(build, weights, averaged=averaged, complete=True)
    return model.eval()


def pick_device(name: str) -> torch.device:
    """``"auto"``: CUDA where there is one, else the CPU.

    Raises:
        InputError: unknown device, or one this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used here ({reason}): give auto, cpu or cuda.") from error
    return device
