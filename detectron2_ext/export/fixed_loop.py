"""Loops that exports keep as loops."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

State = tuple[Tensor, ...]


def repeat_while(condition: Callable[..., Tensor], step: Callable[..., State], state: State) -> State:
    """Return the state after `state = step(*state)` for as long as `condition(*state)`, bool [], is true.

    An export records both functions once, as a loop of the format. Otherwise Python runs them.
    """
    if torch.compiler.is_exporting():
        from torch._higher_order_ops.while_loop import while_loop

        traced: Any = while_loop(condition, step, state)
        return tuple(traced)
    while condition(*state):
        state = step(*state)
    return state
