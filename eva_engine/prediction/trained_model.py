"""Load a trained model for prediction, in which no parameter may be random."""

from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from omegaconf import OmegaConf
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint import build_and_load
from eva_engine.config.instantiation import instantiate
from eva_engine.exported_models import is_exported, open_exported
from eva_engine.inference_precision import FLOAT32, choose_precision, log_what_bfloat16_saves

Model = TypeVar("Model", bound=nn.Module)


def load_trained(
    cfg: Any, weights: str | Path, kind: type[Model], dtype: str = "float32", device: str = "auto"
) -> Model:
    """Build the model of a recipe and load its weights, on the CPU and in evaluation mode.

    Args:
        cfg: The recipe.
        weights: Weight file of the model, or an exported model, for which no model of PyTorch is built.
        kind: Class that the model must be an instance of.
        dtype: Type of the parameters: "float32", "bfloat16", "float16" or "auto"; see
            `eva_engine.inference_precision.choose_precision`.
        device: Device that the model is meant for, "auto" or the name of a torch device.

    Raises:
        InputError: The model is of another class, the file cannot be read or does not hold all its parameters, or the
            device cannot be used.
    """
    if is_exported(weights):  # a module that has what the predictor of its task uses of a `kind`
        return cast(Model, open_exported(weights, cfg, dtype, device))
    target = pick_device(device)
    precision = choose_precision(dtype, target)

    def build() -> Model:
        model = instantiate(cfg.model)
        if not isinstance(model, kind):
            raise InputError(
                f"the config's model is a {type(model).__name__}; to predict, give the recipe of a {kind.__name__}."
            )
        return model

    # The weights that the evaluations of the run measured.
    averaged = bool(OmegaConf.select(cfg, "train.ema.evaluate", default=False))
    model, _ = build_and_load(build, weights, averaged=averaged, complete=True, precision=precision)
    if precision == FLOAT32:
        log_what_bfloat16_saves(model, target)
    return model.eval()


def applies_exif_orientation(cfg: Any) -> bool:
    """Return whether the evaluation of a recipe, or else its training, turns images as their EXIF tags say."""
    for loader in ("test", "train"):
        mapper = OmegaConf.select(cfg, f"dataloader.{loader}.mapper", default=None)
        if mapper is not None:
            return bool(mapper.get("apply_exif_orientation", True))
    return True


def pick_device(name: str) -> torch.device:
    """Return the torch device called `name`; "auto" is CUDA if available, else Apple's GPU ("mps"), else the CPU.

    Raises:
        InputError: The device is unknown, or this machine does not have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used here ({reason}): give auto, cpu or cuda.") from error
    return device
