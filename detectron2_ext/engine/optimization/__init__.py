"""What is optimized, with which learning rate and weight decay, and when."""

from .layer_decay import layer_decay
from .optimizer import build_optimizer

__all__ = ["build_optimizer", "layer_decay"]
