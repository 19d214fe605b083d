"""TensorBoard events of a run that may be resumed."""

import math

from detectron2.utils.events import TensorboardXWriter, get_event_storage

from .scalars import NewScalars


class TensorBoardEvents(TensorboardXWriter):
    """Detectron2's writer with the values of the very iteration, on disk when `write` returns.

    A resumed run tells TensorBoard to forget what earlier processes logged from `start_iter` on, so that one curve is
    left.
    """

    def __init__(self, log_dir: str, start_iter: int = 0) -> None:
        super().__init__(log_dir, purge_step=start_iter)
        self._last_write = math.inf  # no scalar is new to the parent class, which is left with pictures and histograms
        self._new = NewScalars()

    def write(self) -> None:
        """Hand on all new values."""
        for iteration, values in self._new.take(get_event_storage()):
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)
        super().write()
        self._writer.flush()
