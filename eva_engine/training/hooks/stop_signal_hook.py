"""Machines that are taken away announce it with a signal."""

import logging
import signal
import threading
from types import FrameType

from detectron2.engine import HookBase

from ..distributed.launch import STOP_SIGNALS

logger = logging.getLogger(__name__)


class StopSignalHook(HookBase):
    """SIGTERM or SIGUSR1, in any process of the run: finish the iteration, then stop all of them.

    The checkpoint hook saves; the command then ends with status 0. A second signal acts as if there were no hook.
    """

    def before_train(self) -> None:
        """Begin to listen, where this is the main thread."""
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}

    def after_train(self) -> None:
        """Give the signals back to their earlier handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        logger.warning("%s: stopping after this iteration", signal.Signals(number).name)
        self.trainer.stop_requested = True
        signal.signal(number, self._before[signal.Signals(number)])
