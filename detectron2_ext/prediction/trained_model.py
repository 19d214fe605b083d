"""A trained model for prediction: nothing in it may be random."""

from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from torch import nn

from detectron2_ext.checkpoint import build_and_load
from eva_backbone.errors import InputError


def load_trained(model: Any, weights: str | Path) -> nn.Module:
    """The model of a recipe, on the CPU in evaluation mode.

    Args:
        model: `cfg.model`.
        weights: a weight file of the model.

    Raises:
        InputError: an unreadable file, or one that leaves parameters random.
    """
    built, report = build_and_load(lambda: instantiate(model), weights)
    parameters = {name for name, _ in built.named_parameters()}
    random = [name for name in (*(change.name for change in report.skipped), *report.missing) if name in parameters]
    if random:
        raise InputError(
            f"{weights} has no values for {len(random)} parameters of the model ({random[0]}, ...), so that what it "
            "predicts would be random: give weights of a trained model, and the config they were trained with."
        )
    return built.eval()


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
