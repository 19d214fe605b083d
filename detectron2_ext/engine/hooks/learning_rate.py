"""The learning rate of each iteration."""

from collections.abc import Callable

from detectron2.engine import HookBase


class ScheduleLearningRate(HookBase):
    """Sets every group's learning rate to the one it was built with, times a factor.

    A function of the iteration alone, so that there is nothing to restore when a run is resumed.

    Args:
        multiplier: factor by the share of training that is done, 0 to 1 (`lr_multiplier` of a recipe).
    """

    def __init__(self, multiplier: Callable[[float], float]) -> None:
        self.multiplier = multiplier

    def before_train(self) -> None:
        """Note the rates of the recipe, which the schedule multiplies."""
        self._base = [group["lr"] for group in self.trainer.optimizer.param_groups]

    def before_step(self) -> None:
        """Set the rates of this iteration."""
        factor = self.multiplier(self.trainer.iter / self.trainer.max_iter)
        groups = self.trainer.optimizer.param_groups
        for group, base in zip(groups, self._base, strict=True):
            group["lr"] = base * factor
        # With layer decay the groups differ; the largest is that of the heads, the recipe's own figure.
        self.trainer.storage.put_scalar("lr", max(group["lr"] for group in groups), smoothing_hint=False)
