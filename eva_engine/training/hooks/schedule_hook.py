"""Set the learning rate or the weight decay of each iteration."""

from collections.abc import Callable

from detectron2.engine import HookBase


class ScheduleHook(HookBase):
    """Multiply a value of every parameter group by a factor that depends on the iteration.

    The result depends on nothing else, so there is no state to restore when a run is resumed: `RunState` keeps the
    values of the recipe in the groups. Groups whose value is 0, such as those without weight decay, are not changed.

    Args:
        key: "lr" or "weight_decay".
        multiplier: Factor as a function of the fraction of training that is done, 0 to 1 (`lr_multiplier` of a recipe).
    """

    def __init__(self, key: str, multiplier: Callable[[float], float]) -> None:
        self.key = key
        self.multiplier = multiplier

    def before_train(self) -> None:
        """Store the values of the recipe, which the schedule multiplies."""
        self._base_values = [group[self.key] for group in self.trainer.optimizer.param_groups]

    def before_step(self) -> None:
        """Set the values of this iteration."""
        factor = self.multiplier(self.trainer.iter / self.trainer.max_iter)
        groups = self.trainer.optimizer.param_groups
        for group, base_value in zip(groups, self._base_values, strict=True):
            group[self.key] = base_value * factor
        # With layer decay the groups differ; the largest learning rate is that of the heads, which the recipe gives.
        self.trainer.storage.put_scalar(self.key, max(group[self.key] for group in groups), smoothing_hint=False)
