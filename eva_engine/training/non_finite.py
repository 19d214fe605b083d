"""Iterations whose loss or gradient is not finite: told, left out, and counted."""

import logging
import math
from typing import Any

from detectron2.utils import comm
from torch import nn

from eva_backbone.errors import InputError

from .micro_batches import file_names

logger = logging.getLogger(__name__)

_MAX_NAMES = 8


class TooManySkippedSteps(InputError):
    """Raised by all processes of a run at the same iteration."""


class NonFiniteSteps:
    """Counts skipped steps and stops the run when too many come in a row.

    Args:
        max_in_a_row: skipped steps in a row that a run survives.
    """

    def __init__(self, max_in_a_row: int) -> None:
        self.max_in_a_row = max_in_a_row
        self.num_skipped = 0
        self.num_in_a_row = 0

    def reset(self) -> None:
        """After a step that was taken."""
        self.num_in_a_row = 0

    def skip(self, iteration: int, losses: dict[str, float], batch: Any, model: nn.Module) -> None:
        """Say what was not finite, and on which images. All processes call it together.

        Raises:
            TooManySkippedSteps: one skipped step too many; the weights are those before all of them.
        """
        self.num_skipped += 1
        self.num_in_a_row += 1
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        what = f"the loss {', '.join(bad)}" if bad else f"the gradient of {_bad_gradients(model)}"
        files = [name for part in comm.all_gather(file_names(batch)) for name in part]
        images = f" on {_shortened(files)}" if files else ""
        sentence = f"iteration {iteration}: {what} is not finite{images}"
        if self.num_in_a_row > self.max_in_a_row:
            num_in_a_row = self.num_in_a_row
            self.reset()  # the checkpoint that is saved now is gone on from with something changed
            raise TooManySkippedSteps(
                f"{sentence}; {num_in_a_row} steps in a row were skipped, more than train.max_skipped_steps="
                f"{self.max_in_a_row}; lower optimizer.lr, set train.clip_grad_norm=1.0 or use "
                "train.amp.dtype=bfloat16"
            )
        logger.warning("Step skipped (%d in a row, %d in all): %s", self.num_in_a_row, self.num_skipped, sentence)

    def state_dict(self) -> dict[str, int]:
        """Counts for a checkpoint: steps skipped in all, and in a row until now."""
        return {"num_skipped": self.num_skipped, "num_in_a_row": self.num_in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on with the counts of a checkpoint."""
        self.num_skipped, self.num_in_a_row = state["num_skipped"], state["num_in_a_row"]


def _bad_gradients(model: nn.Module) -> str:
    names = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]
    return _shortened([name.removeprefix("module.") for name in names]) or "some parameters"


def _shortened(names: list[str]) -> str:
    rest = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + rest
