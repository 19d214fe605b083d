"""Training and evaluation of recipes of any task."""

from .build import build_model
from .evaluate import evaluate
from .optimization import build_optimizer, layer_decay
from .run import train

__all__ = ["build_model", "build_optimizer", "evaluate", "layer_decay", "train"]
