"""Merge the weights of LoRA adapters into those of their layers."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_backbone.errors import InputError

ADAPTER = "default"  # name that peft gives to the only adapter of a layer


def merge_lora_weights(weights: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of the model without adapters: W + alpha / rank * B A, computed in float32.

    Args:
        weights: Weights of a model with LoRA adapters. Entries of other layers are returned unchanged.
        settings: The `train.lora` settings that the weights were trained with.

    Raises:
        InputError: An adapter does not have the rank `settings["rank"]` or the shape of its layer, or a factor is
            missing.
    """
    merged = {}
    for name, value in weights.items():
        if re.search(r"\.lora_[AB]\.", name):
            continue
        if name.endswith(".base_layer.weight"):
            layer = name.removesuffix(".base_layer.weight")
            down, up = _factor(weights, layer, "A"), _factor(weights, layer, "B")
            rank, alpha = settings.get("rank"), settings.get("alpha")
            if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float):
                raise InputError(
                    "the train.lora settings in the file need a rank of 1 or more and a number alpha; give a "
                    "checkpoint that a run has written"
                )
            if down.ndim and down.shape[0] != rank:
                raise InputError(
                    f"{layer} has an adapter of rank {down.shape[0]}, but train.lora.rank is {rank}; "
                    "give the train.lora settings that these weights were trained with"
                )
            if value.ndim != 2 or up.shape != (value.shape[0], rank) or down.shape != (rank, value.shape[1]):
                raise InputError(
                    f"{layer} has a weight of shape {[*value.shape]}, which adapters of shapes {[*up.shape]} and "
                    f"{[*down.shape]} do not fit; give a checkpoint that a run has written"
                )
            value = (value.float() + up.float() @ down.float() * (alpha / rank)).to(value.dtype)
        merged[name.replace(".base_layer.", ".")] = value
    return merged


def _factor(weights: Mapping[str, Tensor], layer: str, letter: str) -> Tensor:
    name = f"{layer}.lora_{letter}.{ADAPTER}.weight"
    if name not in weights:
        raise InputError(f"{layer}.base_layer.weight belongs to a layer with an adapter, but {name} is missing")
    return weights[name]
