"""Skip iterations with a non-finite loss or gradient: log them, count them, and stop after too many in a row."""

import logging
import math
from itertools import chain
from typing import Any

from detectron2.utils import comm
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.text_layout import join_first

from .micro_batches import file_names

logger = logging.getLogger(__name__)

_MAX_NAMES = 8


class TooManySkippedSteps(InputError):
    """Too many steps in a row were skipped; raised by all processes of a run in the same iteration."""


class NonFiniteSteps:
    """Count skipped steps and stop the run after too many in a row.

    Args:
        max_in_a_row: Largest number of consecutive skipped steps with which the run continues.
    """

    def __init__(self, max_in_a_row: int) -> None:
        self.max_in_a_row = max_in_a_row
        self.num_skipped = 0
        self.num_in_a_row = 0

    def reset(self) -> None:
        """Call after a step that was not skipped."""
        self.num_in_a_row = 0

    def skip(self, iteration: int, losses: dict[str, float], batch: Any, model: nn.Module) -> None:
        """Count a skipped step, and log what was not finite and for which images. All processes must call it together.

        Raises:
            TooManySkippedSteps: More than `max_in_a_row` steps in a row; the weights are those before all of them.
        """
        self.num_skipped += 1
        self.num_in_a_row += 1
        bad_losses = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad_losses:
            subject = f"the loss {', '.join(bad_losses)}"
        else:
            subject = f"the gradient of {_non_finite_gradients(model)}"
        files = list(chain.from_iterable(comm.all_gather(file_names(batch))))
        images = f" on {join_first(files, _MAX_NAMES)}" if files else ""
        sentence = f"iteration {iteration}: {subject} is not finite{images}"
        if self.num_in_a_row > self.max_in_a_row:
            num_in_a_row = self.num_in_a_row
            self.reset()  # the run is resumed from the checkpoint saved now with changed settings, so it starts at 0
            raise TooManySkippedSteps(
                f"{sentence}; {num_in_a_row} steps in a row were skipped, more than train.max_skipped_steps="
                f"{self.max_in_a_row}; lower optimizer.lr, set train.clip_grad_norm=1.0 or use "
                "train.amp.dtype=bfloat16"
            )
        logger.warning("Step skipped (%d in a row, %d in total): %s", self.num_in_a_row, self.num_skipped, sentence)

    def state_dict(self) -> dict[str, int]:
        """Return the counts for a checkpoint: steps skipped in total, and in a row up to now."""
        return {"num_skipped": self.num_skipped, "num_in_a_row": self.num_in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue with the counts of a checkpoint."""
        self.num_skipped, self.num_in_a_row = state["num_skipped"], state["num_in_a_row"]


def _non_finite_gradients(model: nn.Module) -> str:
    """Return the names of the parameters with a non-finite gradient in this process."""
    names = []
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            names.append(name.removeprefix("module."))
    return join_first(names, _MAX_NAMES) or "some parameters"
