"""What is optimized, with which learning rate and weight decay, and when."""

from .ema import build_ema
from .lars import LARS
from .layer_decay import layer_decay
from .optimizer import build_optimizer
from .parameter_groups import GroupingRule, layer_decay_groups
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
