"""When a run is saved."""

import logging
import sys

from detectron2.engine import HookBase
from detectron2.utils import comm

from eva_engine.checkpoint import RunCheckpoints

from ..non_finite import TooManySkippedSteps
from ..run_state import RunState
from .metrics_hook import is_due

logger = logging.getLogger(__name__)


class CheckpointHook(HookBase):
    """Saves every `period` iterations and at the end, and the finished iterations of a run that stops early.

    Every process has one. Names are Detectron2's: model_0004999 after iteration 4999, model_final.

    Args:
        state: what to save.
        checkpoints: where.
        period: iterations between checkpoints; 0: only the last.
    """

    def __init__(self, state: RunState, checkpoints: RunCheckpoints, period: int) -> None:
        self.state = state
        self.checkpoints = checkpoints
        self.period = period
        self._num_saved = 0

    def before_train(self) -> None:
        """What the run begins with need not be saved again."""
        self._num_saved = self.trainer.start_iter

    def after_step(self) -> None:
        """Save when it is due, or under the final name at the end; raises the error of an earlier write."""
        self.checkpoints.poll()
        trainer = self.trainer
        if trainer.num_finished == trainer.max_iter:
            self._save("model_final")
        elif is_due(trainer.num_finished, self.period, trainer.max_iter) or trainer.stopping:
            self._save(self._name())

    def after_train(self) -> None:
        """Save what a stopped run has not saved yet, and wait until all is written."""
        try:
            if self._can_save_unfinished():
                self._save(self._name())
        finally:
            self.checkpoints.wait()
        if self.trainer.num_finished < self.trainer.max_iter:
            logger.info("Stopped early; %d iterations are saved, --resume goes on from there", self._num_saved)

    def save_best(self) -> None:
        """Save the present state as model_best; it is on disk when this returns."""
        self.checkpoints.save("model_best", self.state.state_dict(), counted=False)
        self.checkpoints.wait()

    def _name(self) -> str:
        return f"model_{self.trainer.num_finished - 1:07d}"

    def _save(self, name: str) -> None:
        self.checkpoints.save(name, self.state.state_dict())
        self._num_saved = self.trainer.num_finished

    def _can_save_unfinished(self) -> bool:
        """Whether there is something to save, it is whole, and the other processes are here too."""
        together = comm.get_world_size() == 1 or isinstance(sys.exception(), TooManySkippedSteps)
        return self.trainer.num_finished > self._num_saved and not self.trainer.updating and together
