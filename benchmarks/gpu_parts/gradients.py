"""Gradients that exist before a training step is measured, so that its memory is that of activations."""

from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def with_gradients(model: Model) -> Model:
    """Allocate the gradients of all parameters, and return the model."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return model
