"""What the weights of a CLIP model or a part of it are, and what they can be used for, for `inspect`."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.inspection.other_uses import OtherUse
from eva_engine.inspection.recipes import Recipe
from eva_engine.inspection.weight_facts import count_layers, find_weight

from .initialization import join_tower_weights


def describe_weights(weights: Mapping[str, Tensor]) -> list[str | None]:
    """Describe the text tower, if the weights have one."""
    positions = find_weight(weights, r"(text\.)?positional_embedding")
    depth = count_layers(weights, r"(text\.)?transformer\.resblocks")
    embedding = find_weight(weights, r".*token_embedding\.weight")
    if positions is None or positions.ndim != 2 or not depth or embedding is None:
        return []
    return [f"text tower of width {positions.shape[1]}, depth {depth}, {positions.shape[0]} tokens"]


def find_text_tower_uses(
    weights: Mapping[str, Tensor],
    path: Path,
    recipes: Iterable[Recipe],  # noqa: ARG001  (part of the interface)
) -> list[OtherUse]:
    """Return the use as the text tower of a new CLIP model, if the weights contain one."""
    any_image_tower = {"blocks.0.attn.qkv.weight": torch.empty(0)}
    try:
        join_tower_weights(any_image_tower, weights)
    except InputError:
        return []
    command = f"python -m tools join-clip-towers IMAGE_FILE {shlex.quote(str(path))} OUTPUT"
    return [OtherUse("text tower of a new CLIP", command)]
