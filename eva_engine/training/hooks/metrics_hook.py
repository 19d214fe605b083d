"""Write metrics to the terminal and to files."""

from collections.abc import Sequence

from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter


class MetricsHook(HookBase):
    """Pass the metrics to the writers at regular iterations and after the last one.

    Register it before the checkpoint hook, so that no checkpoint contains an iteration whose metrics are not written.

    Args:
        writers: Writers on rank 0, empty on the other ranks.
        periods: Numbers of iterations between lines. Include the period of evaluations, so that the results of an
            evaluation never share a line with the losses before it.
    """

    def __init__(self, writers: Sequence[EventWriter], *periods: int) -> None:
        self.writers = writers
        self.periods = periods

    def after_step(self) -> None:
        """Write if a line is due."""
        number = self.trainer.num_finished
        if any(is_due(number, period, self.trainer.max_iter) for period in self.periods):
            self.write()

    def write(self) -> None:
        """Write all metrics since the last call."""
        for writer in self.writers:
            writer.write()

    def after_train(self) -> None:
        """Close all writers."""
        for writer in self.writers:
            writer.close()


def is_due(num_finished: int, period: int, max_iter: int) -> bool:
    """Return whether something periodic is due after `num_finished` iterations: every `period` ones, and at the end.

    A period of 0 means only at the end.
    """
    return num_finished == max_iter or (period > 0 and num_finished % period == 0)
