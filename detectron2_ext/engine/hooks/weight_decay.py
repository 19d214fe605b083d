"""Weight decay that changes during training."""

import torch
from detectron2.engine import HookBase
from fvcore.common.param_scheduler import ParamScheduler


class ScheduleWeightDecay(HookBase):
    """Gives every group before each iteration its own weight decay times a factor; so groups without any stay so.

    It keeps no state. The groups' own values are those at construction: construct it before a checkpoint, with the
    values of some iteration, is loaded into the optimizer.

    Args:
        optimizer: as the recipe built it.
        multiplier: factor by progress, `weight_decay_multiplier` of a recipe.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, multiplier: ParamScheduler) -> None:
        self.optimizer = optimizer
        self.multiplier = multiplier
        self.initial = [group["weight_decay"] for group in optimizer.param_groups]

    def before_step(self) -> None:
        """Set the weight decay of this iteration."""
        factor = self.multiplier(self.trainer.iter / self.trainer.max_iter)
        for group, initial in zip(self.optimizer.param_groups, self.initial, strict=True):
            group["weight_decay"] = initial * factor
