"""Training hooks beside Detectron2's."""

import logging
import sys

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import HookBase

logger = logging.getLogger(__name__)


class SaveUnfinished(HookBase):
    """Writes a checkpoint of the last finished iteration when training stops early: an error in the data, Ctrl-C.

    Register it behind the learning-rate scheduler, so that what it saves belongs to one iteration. After a loss that
    is not finite nothing is written: the weights may be spoilt, and the last periodic checkpoint is better.
    """

    def __init__(self, checkpointer: DetectionCheckpointer):
        self.checkpointer = checkpointer
        self.finished_iter = -1

    def after_step(self) -> None:
        self.finished_iter = self.trainer.iter

    def after_train(self) -> None:
        trainer, stopped_at = self.trainer, self.trainer.iter
        if stopped_at >= trainer.max_iter or self.finished_iter < 0 or isinstance(sys.exception(), FloatingPointError):
            return
        trainer.iter = self.finished_iter
        self.checkpointer.save(f"model_{self.finished_iter:07d}", iteration=self.finished_iter)
        trainer.iter = stopped_at
        logger.info(
            "Training stopped early; %d iterations are saved, --resume goes on from there", self.finished_iter + 1
        )
