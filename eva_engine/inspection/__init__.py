"""What a weight file is: its model, the recipes that take it, and what loading it would do."""

from .identify import Identification, Identifier
from .summary import Outline, read_outline

__all__ = ["Identification", "Identifier", "Outline", "read_outline"]
