"""Save checkpoints during training."""

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
    """Save a checkpoint every `period` iterations, at the end, and when a run stops early.

    Every process has one. Names are Detectron2's: model_0004999 after iteration 4999, and model_final.

    Args:
        state: State to save.
        checkpoints: The checkpoints of the run.
        period: Number of iterations between checkpoints; 0 saves only the last one.
    """

    def __init__(self, state: RunState, checkpoints: RunCheckpoints, period: int) -> None:
        self.state = state
        self.checkpoints = checkpoints
        self.period = period
        self._num_saved = 0  # iterations that the newest checkpoint contains

    def before_train(self) -> None:
        """Count the iterations of the checkpoint that the run is resumed from as saved."""
        self._num_saved = self.trainer.start_iter

    def after_step(self) -> None:
        """Save if a checkpoint is due, under the final name at the end; raise the error of an earlier write."""
        self.checkpoints.poll()
        trainer = self.trainer
        if trainer.num_finished == trainer.max_iter:
            self._save("model_final")
        elif is_due(trainer.num_finished, self.period, trainer.max_iter) or trainer.stopping:
            self._save(self._name())

    def after_train(self) -> None:
        """Save the last iterations of a run that stops early, and wait until all checkpoints are written."""
        try:
            if self._can_save_unfinished():
                self._save(self._name())
        finally:
            self.checkpoints.wait()
        if self.trainer.num_finished < self.trainer.max_iter and not self.trainer.stopped_by_metric:
            logger.info("Stopped early; %d iterations are saved, --resume continues from there", self._num_saved)

    def save_best(self) -> None:
        """Save the current state as model_best; it is on disk when this returns."""
        self.checkpoints.save("model_best", self.state.state_dict(), counted=False)
        self.checkpoints.wait()

    def save_unsaved(self) -> None:
        """Save the last finished iteration unless it is saved; collective."""
        if self.trainer.num_finished > self._num_saved:
            self._save(self._name())

    def _name(self) -> str:
        return f"model_{self.trainer.num_finished - 1:07d}"

    def _save(self, name: str) -> None:
        self.checkpoints.save(name, self.state.state_dict())
        self._num_saved = self.trainer.num_finished

    def _can_save_unfinished(self) -> bool:
        """Return whether there are unsaved iterations and a consistent state that all processes can save together.

        After an error in one process the others may not get here; `TooManySkippedSteps` is raised by all of them.
        """
        all_processes_are_here = comm.get_world_size() == 1 or isinstance(sys.exception(), TooManySkippedSteps)
        has_unsaved_iterations = self.trainer.num_finished > self._num_saved
        return has_unsaved_iterations and not self.trainer.updating and all_processes_are_here
