"""Optimizer, parameter groups, schedules and moving average of the weights."""

from .ema import build_ema
from .parameter_groups import GroupingRule, build_optimizer, layer_decay, layer_decay_groups
from .schedules import IterationSchedule, WarmupCosine

__all__ = [
    "GroupingRule",
    "IterationSchedule",
    "WarmupCosine",
    "build_ema",
    "build_optimizer",
    "layer_decay",
    "layer_decay_groups",
]
