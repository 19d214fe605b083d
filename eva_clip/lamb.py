"""LAMB as DeepSpeed implements it, the optimizer of the published EVA-02-CLIP runs."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from eva_classification.per_tensor_optimizer import PerTensorOptimizer


class Lamb(PerTensorOptimizer):
    """Adam whose step is scaled to the norm of each tensor, with limits for the factor.

    You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020. The options are those
    of DeepSpeed. timm's `Lamb` differs: it corrects the bias of both averages before it adds `eps`, has no lower limit,
    does not scale groups without weight decay, and clips gradients itself.

    The published runs sharded flattened groups of tensors among their GPUs (ZeRO), so their norms were probably those
    of the parts on one GPU. Here they are those of complete tensors, on any number of GPUs.

    Args:
        params: Tensors, or parameter groups.
        lr: Learning rate.
        betas: Decay rates of the averages of the gradient and of its square.
        eps: Term added to the root of the second average.
        weight_decay: Factor of the tensor itself in its step.
        max_coeff: Upper limit of the ratio of the norms of a tensor and its step at a learning rate of 1.
        min_coeff: Lower limit of this ratio.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_coeff: float = 10.0,
        min_coeff: float = 0.01,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "max_coeff": max_coeff,
            "min_coeff": min_coeff,
        }
        super().__init__(params, defaults)

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Update `parameter` in place with the settings of its group."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device="cpu")
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        beta1, beta2 = group["betas"]
        state["step"] += 1
        step_number = state["step"].item()
        mean = state["exp_avg"].mul_(beta1).add_(gradient, alpha=1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        step = mean / square.sqrt().add_(group["eps"])
        step.add_(parameter, alpha=group["weight_decay"])
        norm, step_norm = parameter.norm(), step.norm()
        coefficient = (norm / step_norm).clamp(group["min_coeff"], group["max_coeff"])
        # At zero weights the ratio is 0, and they would never change; without a step it is infinite.
        coefficient = torch.where((norm > 0) & (step_norm > 0), coefficient, 1.0)
        bias_correction = (1 - beta2**step_number) ** 0.5 / (1 - beta1**step_number)
        parameter.sub_(step.mul_(coefficient), alpha=group["lr"] * bias_correction)
