"""Run the hooks that a recipe names in `train.hooks`."""

from collections.abc import Mapping
from typing import Any

from detectron2.engine import HookBase
from omegaconf import ListConfig

from eva_backbone.errors import InputError
from eva_engine.config.instantiation import instantiate

from ..random_state import preserved_random_state


class UserHooks(HookBase):
    """Call several hooks in their order, in every process. Random numbers that they draw do not change the training.

    Their `state_dict()`, of plain values and tensors that are the same in all processes, is part of the checkpoints.

    Args:
        configs: `train.hooks` of the recipe.

    Raises:
        InputError: One of them is not a hook.
    """

    def __init__(self, configs: ListConfig) -> None:
        self.hooks: list[HookBase] = []
        for number, config in enumerate(configs):
            hook = instantiate(config)
            if not isinstance(hook, HookBase):
                raise InputError(
                    f"train.hooks.{number} is a {type(hook).__name__}, but must be a detectron2.engine.HookBase; give "
                    "L(MyHook)(...) with a class that is derived from it"
                )
            self.hooks.append(hook)

    def before_train(self) -> None:
        """Give the trainer to the hooks, and call their `before_train`."""
        for hook in self.hooks:
            hook.trainer = self.trainer
        self._call("before_train")

    def before_step(self) -> None:
        """Call `before_step` of the hooks."""
        self._call("before_step")

    def after_step(self) -> None:
        """Call `after_step` of the hooks."""
        self._call("after_step")

    def after_train(self) -> None:
        """Call `after_train` of the hooks."""
        self._call("after_train")

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the hooks by their position in the recipe."""
        return {str(number): hook.state_dict() for number, hook in enumerate(self.hooks)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the states of hooks; one that was added to the recipe keeps its own."""
        for number, hook in enumerate(self.hooks):
            if state.get(str(number)):
                hook.load_state_dict(state[str(number)])

    def _call(self, event: str) -> None:
        with preserved_random_state():
            for hook in self.hooks:
                getattr(hook, event)()
