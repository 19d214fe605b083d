"""Precision of a measured computation: `compare` passes it to the measured processes in their environment."""

import os

import torch
from torch import nn

from .figure import Dtype

VARIABLE = "EVA_BENCHMARK_DTYPE"
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")


def chosen_dtype() -> torch.dtype:
    """Return the precision that this process is to measure."""
    return getattr(torch, os.environ.get(VARIABLE, "float32"))


def with_chosen_weights(model: nn.Module) -> nn.Module:
    """Convert a model for a forward pass: its weights are held in the precision."""
    return model.to(chosen_dtype())


def chosen_autocast() -> torch.autocast:
    """Return the context of a training step: its weights stay in float32, and low precision is that of autocast."""
    return torch.autocast("cpu", torch.bfloat16, enabled=chosen_dtype() != torch.float32)
