"""What happens between iterations, in the order in which training registers it."""

from .checkpoints import SaveCheckpoints
from .evaluation import Evaluate
from .schedule_groups import ScheduleGroups
from .stop_signals import StopOnSignal
from .writing import WriteMetrics

__all__ = ["Evaluate", "SaveCheckpoints", "ScheduleGroups", "StopOnSignal", "WriteMetrics"]
