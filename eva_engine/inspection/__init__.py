"""What a weight file is: its model, the recipes that take it, and what loading it would do."""

from .identify import Identification, Identifier
from .summary import WeightFileSummary, read_summary

__all__ = ["Identification", "Identifier", "WeightFileSummary", "read_summary"]
