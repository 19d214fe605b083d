"""Hooks that act between iterations: schedules, metrics, checkpoints, evaluations stop signals, hooks of users."""

from .checkpoint_hook import CheckpointHook
from .evaluation_hook import EvaluationHook
from .metrics_hook import MetricsHook
from .schedule_hook import ScheduleHook
from .stop_signal_hook import StopSignalHook
from .user_hooks import UserHooks

__all__ = ["CheckpointHook", "EvaluationHook", "MetricsHook", "ScheduleHook", "StopSignalHook", "UserHooks"]
