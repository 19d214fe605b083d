"""Stop a run when it receives a signal, as clusters send before they take a machine away."""

import logging
import signal
import threading
from types import FrameType

from detectron2.engine import HookBase

from ..distributed.launch import STOP_SIGNALS

logger = logging.getLogger(__name__)


class StopSignalHook(HookBase):
    """After SIGTERM or SIGUSR1 in any process of the run, finish the iteration and then stop all processes.

    The checkpoint hook saves the state, and the command exits with status 0. A second signal acts as if there were no
    hook.
    """

    def before_train(self) -> None:
        """Install the signal handlers if this is the main thread; Python does not allow it in others."""
        self._earlier_handlers = {}
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                self._earlier_handlers[number] = signal.signal(number, self._handle)

    def after_train(self) -> None:
        """Restore the earlier handlers."""
        for number, handler in self._earlier_handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        logger.warning("%s: stopping after this iteration", signal.Signals(number).name)
        self.trainer.stop_requested = True
        signal.signal(number, self._earlier_handlers[signal.Signals(number)])
