"""What happens between iterations, in the order in which training registers it."""

from .checkpoint_hook import CheckpointHook
from .evaluation_hook import Evaluate
from .metrics_hook import MetricsHook
from .schedule_hook import ScheduleHook
from .stop_signal_hook import StopSignalHook

__all__ = ["CheckpointHook", "Evaluate", "MetricsHook", "ScheduleHook", "StopSignalHook"]
