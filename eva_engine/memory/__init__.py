"""Predict the peak memory of a training step, and advise what to change when it does not fit."""

from .advice import Advice, Change, advise
from .planner import MemoryPlan, MemoryPlanner
from .rank_table import DEFAULT_RANKS, RankRow, rank_table
from .synthetic_batch import overrides_for_side

__all__ = [
    "DEFAULT_RANKS",
    "Advice",
    "Change",
    "MemoryPlan",
    "MemoryPlanner",
    "RankRow",
    "advise",
    "overrides_for_side",
    "rank_table",
]
