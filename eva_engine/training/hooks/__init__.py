"""What happens between iterations, in the order in which training registers it."""

from .checkpoint_hook import SaveCheckpoints
from .evaluation_hook import Evaluate
from .metrics_hook import WriteMetrics
from .schedule_hook import ScheduleGroups
from .stop_signal_hook import StopOnSignal

__all__ = ["Evaluate", "SaveCheckpoints", "ScheduleGroups", "StopOnSignal", "WriteMetrics"]
