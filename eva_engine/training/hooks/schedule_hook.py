"""Learning rate and weight decay of each iteration."""

from collections.abc import Callable

from detectron2.engine import HookBase


class ScheduleHook(HookBase):
    """Sets a value of every group of the optimizer to the one it has when training begins, times a factor.

    A function of the iteration alone, so that there is nothing to restore when a run is resumed: `RunState` leaves the
    groups' own values in place. Groups without any, as of weight decay, stay so.

    Args:
        key: "lr" or "weight_decay".
        multiplier: factor by the share of training that is done, 0 to 1 (`lr_multiplier` of a recipe).
    """

    def __init__(self, key: str, multiplier: Callable[[float], float]) -> None:
        self.key = key
        self.multiplier = multiplier

    def before_train(self) -> None:
        """Note the values of the recipe, which the schedule multiplies."""
        self._base = [group[self.key] for group in self.trainer.optimizer.param_groups]

    def before_step(self) -> None:
        """Set the values of this iteration."""
        factor = self.multiplier(self.trainer.iter / self.trainer.max_iter)
        groups = self.trainer.optimizer.param_groups
        for group, base in zip(groups, self._base, strict=True):
            group[self.key] = base * factor
        # With layer decay the groups differ; the largest rate is that of the heads, the recipe's own figure.
        self.trainer.storage.put_scalar(self.key, max(group[self.key] for group in groups), smoothing_hint=False)
