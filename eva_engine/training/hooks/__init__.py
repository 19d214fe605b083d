"""Hooks that act between iterations: schedules, metrics, checkpoints, evaluations and stop signals."""

from .checkpoint_hook import CheckpointHook
from .evaluation_hook import EvaluationHook
from .metrics_hook import MetricsHook
from .schedule_hook import ScheduleHook
from .stop_signal_hook import StopSignalHook

__all__ = ["CheckpointHook", "EvaluationHook", "MetricsHook", "ScheduleHook", "StopSignalHook"]
