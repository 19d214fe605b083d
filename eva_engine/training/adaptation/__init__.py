"""Train a large model with little memory: freezing, low-rank adaptation and activation checkpointing."""

from .activation_checkpointing import checkpoint_activations
from .adapt import adapt_model
from .freezing import freeze_parameters
from .lora import add_lora, merge_lora

__all__ = [
    "adapt_model",
    "add_lora",
    "checkpoint_activations",
    "freeze_parameters",
    "merge_lora",
]
