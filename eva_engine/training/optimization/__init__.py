"""Optimizer, parameter groups, schedules and moving average of the weights."""

from .ema import build_ema
from .lars import LARS
from .parameter_groups import GroupingRule, build_optimizer, layer_decay, layer_decay_groups
from .schedules import LaggedWarmupCosine, WarmupCosine, WarmupPolynomial

__all__ = [
    "LARS",
    "GroupingRule",
    "LaggedWarmupCosine",
    "WarmupCosine",
    "WarmupPolynomial",
    "build_ema",
    "build_optimizer",
    "layer_decay",
    "layer_decay_groups",
]
