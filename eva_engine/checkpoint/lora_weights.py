"""Weights of low-rank layers as those of plain ones."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_backbone.errors import InputError

ADAPTER = "default"  # peft's own name for the only adapter of a layer


def merge_lora_weights(weights: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """`weights` of an adapted model as those of the plain one: plain names, W + alpha / rank * B A made in float32.

    Entries of other layers are handed on as they are, and weights without adapters as a whole.

    Args:
        settings: the `train.lora` that the weights were trained with.

    Raises:
        InputError: adapters of another rank than `settings["rank"]`, or without their layer.
    """
    merged = {}
    for name, value in weights.items():
        if re.search(r"\.lora_[AB]\.", name):
            continue
        plain = name.replace(".base_layer.", ".")
        if name.endswith(".base_layer.weight"):
            layer = name.removesuffix(".base_layer.weight")
            down, up = (_factor(weights, layer, letter) for letter in "AB")
            if down.shape[0] != settings["rank"]:
                raise InputError(
                    f"{layer} has an adapter of rank {down.shape[0]}, but train.lora.rank is {settings['rank']}; "
                    "give the train.lora settings that these weights were trained with"
                )
            value = (value.float() + up.float() @ down.float() * (settings["alpha"] / settings["rank"])).to(value.dtype)
        merged[plain] = value
    return merged


def _factor(weights: Mapping[str, Tensor], layer: str, letter: str) -> Tensor:
    name = f"{layer}.lora_{letter}.{ADAPTER}.weight"
    if name not in weights:
        raise InputError(f"{layer}.base_layer.weight is an adapted layer's, but {name} is missing beside it")
    return weights[name]
