"""Predict the peak memory of a training step, and what to change when it does not fit."""

from .advice import Advice, Change, advise
from .planned_model import at_side
from .planner import Prediction, Predictor
from .rank_table import DEFAULT_RANKS, RankRow, rank_table

__all__ = ["DEFAULT_RANKS", "Advice", "Change", "Prediction", "Predictor", "RankRow", "advise", "at_side", "rank_table"]
