"""Identify weight files: their model, the recipes that accept them, and what loading them would do."""

from .identify import Identification, Identifier
from .summary import WeightFileSummary, read_summary

__all__ = ["Identification", "Identifier", "WeightFileSummary", "read_summary"]
