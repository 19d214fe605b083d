"""What is optimized, with which learning rate and weight decay, and when."""

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
