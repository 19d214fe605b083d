"""LARS, the optimizer of the linear probes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """SGD whose step is scaled to each matrix's norm; vectors take the plain step and have no weight decay.

    You, Gitman, Ginsburg: Large batch training of convolutional networks, 2017. The norm in the denominator is that of
    the gradient with the weight decay added; timm's `Lars` adds up the two norms, and leaves out the scaling of groups
    without weight decay unless it scales vectors as well.

    Args:
        params: tensors or groups of them.
        lr: learning rate.
        weight_decay: L2 penalty of matrices.
        momentum: share of the last step that is kept.
        trust_coefficient: length of a step relative to the matrix, at a learning rate of 1.
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

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; returns what `closure` returns, which is called first to compute the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, parameter.grad, group)
        return loss

    def _step_one(self, parameter: Tensor, step: Tensor, group: dict[str, Any]) -> None:
        if parameter.ndim > 1:
            step = step.add(parameter, alpha=group["weight_decay"])
            length, size = step.norm(), parameter.norm()
            ratio = group["trust_coefficient"] * size / length
            step = step * torch.where((length > 0) & (size > 0), ratio, 1.0)
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum = state["momentum_buffer"].mul_(group["momentum"]).add_(step)
        parameter.sub_(momentum, alpha=group["lr"])
