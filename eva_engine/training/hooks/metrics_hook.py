"""Metrics to the terminal and to files."""

from collections.abc import Sequence

from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter


class MetricsHook(HookBase):
    """Hands the metrics of some iterations, and of the last one, to the writers.

    Registered before the checkpoint hook: a checkpoint never belongs to an iteration that is not written down.

    Args:
        writers: empty on every process but the first.
        periods: iterations between lines. That of evaluations is one of them, so that the results of an evaluation
            never share a line with the losses before it.
    """

    def __init__(self, writers: Sequence[EventWriter], *periods: int) -> None:
        self.writers = writers
        self.periods = periods

    def after_step(self) -> None:
        """Write when it is due."""
        number = self.trainer.num_finished
        if any(is_due(number, period, self.trainer.max_iter) for period in self.periods):
            self.write()

    def write(self) -> None:
        """Hand over what was measured since the last time."""
        for writer in self.writers:
            writer.write()

    def after_train(self) -> None:
        """Close all writers."""
        for writer in self.writers:
            writer.close()


def is_due(num_finished: int, period: int, max_iter: int) -> bool:
    """Whether it is, behind `num_finished` iterations: every `period` of them, unless that is 0, and at the end."""
    return num_finished == max_iter or (period > 0 and num_finished % period == 0)
