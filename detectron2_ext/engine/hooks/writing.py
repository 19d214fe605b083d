"""Metrics to the terminal and to files."""

from collections.abc import Sequence

from detectron2.engine import HookBase
from detectron2.utils.events import EventWriter


class WriteMetrics(HookBase):
    """Hands the metrics of every `period`-th iteration, and of the last one, to the writers.

    Registered before the checkpoint hook: a checkpoint never belongs to an iteration that is not written down.

    Args:
        writers: empty on every process but the first.
    """

    def __init__(self, writers: Sequence[EventWriter], period: int) -> None:
        self.writers = writers
        self.period = period

    def after_step(self) -> None:
        number = self.trainer.iter + 1
        if number % self.period == 0 or number == self.trainer.max_iter:
            self.write()

    def write(self) -> None:
        """Hand over what was measured since the last time."""
        for writer in self.writers:
            writer.write()

    def after_train(self) -> None:
        for writer in self.writers:
            writer.close()
