"""LARS, the optimizer of the linear probes."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .per_tensor_optimizer import PerTensorOptimizer


class LARS(PerTensorOptimizer):
    """SGD with momentum whose step is scaled to the norm of each matrix; vectors use plain SGD without weight decay.

    You, Gitman, Ginsburg: Large batch training of convolutional networks, 2017. The norm in the denominator is that of
    the gradient plus the weight decay term. timm's `Lars` differs: it adds the two norms, and does not scale groups
    without weight decay unless it scales vectors as well.

    Args:
        params: Tensors, or parameter groups.
        lr: Learning rate.
        weight_decay: L2 penalty of matrices.
        momentum: Momentum factor.
        trust_coefficient: Norm of a step divided by the norm of the matrix, at a learning rate of 1.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        trust_coefficient: float = 0.001,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "trust_coefficient": trust_coefficient,
        }
        super().__init__(params, defaults)

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Update `parameter` in place with the settings of its group."""
        step = gradient
        if parameter.ndim > 1:
            step = step.add(parameter, alpha=group["weight_decay"])
            step_norm, norm = step.norm(), parameter.norm()
            # With this ratio, a step at learning rate 1 changes the matrix by the fraction `trust_coefficient` of its
            # norm, whatever the size of the gradient. Layers with small gradients then learn at large batch sizes, too.
            ratio = group["trust_coefficient"] * norm / step_norm
            # Without a gradient the ratio is infinite; at zero weights it is 0, and they would never change.
            step = step * torch.where((step_norm > 0) & (norm > 0), ratio, 1.0)
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum = state["momentum_buffer"].mul_(group["momentum"]).add_(step)
        parameter.sub_(momentum, alpha=group["lr"])
