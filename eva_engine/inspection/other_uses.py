"""What weights are for that no recipe's model takes as they are: tried with the code that would use them."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from detectron2.utils.registry import locate
from omegaconf import OmegaConf
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.report.run_commands import override

from .recipes import Recipe


@dataclass(frozen=True)
class OtherUse:
    """What the weights can be, and the command that makes use of them."""

    purpose: str
    command: str


def find_other_uses(weights: Mapping[str, Tensor], path: Path, recipes: Iterable[Recipe]) -> list[OtherUse]:
    """The target of pre-training, the text tower of a CLIP."""
    uses = []
    for recipe in recipes:
        if _is_target(weights, recipe):
            change = override("model.target.weights", str(path))
            uses.append(
                OtherUse("target of pre-training", f"python -m tools train --config-file {recipe.path} {change}")
            )
    if _has_text_tower(weights):
        uses.append(
            OtherUse(
                "text tower of a new CLIP",
                f"python -m tools join-clip-towers IMAGE_FILE {shlex.quote(str(path))} OUTPUT",
            )
        )
    return uses


def _is_target(weights: Mapping[str, Tensor], recipe: Recipe) -> bool:
    target = OmegaConf.select(recipe.cfg, "model.target")
    if target is None or "weights" not in target:
        return False
    build = locate(target._target_) if isinstance(target._target_, str) else target._target_
    try:
        with torch.device("meta"):
            build(dict(weights))
    except Exception:  # weights of anything else trip it in many ways
        return False
    return True


def _has_text_tower(weights: Mapping[str, Tensor]) -> bool:
    from eva_clip.initial_weights import join_towers  # imported by need: of a task

    image = {"blocks.0.attn.qkv.weight": torch.empty(0)}  # any image tower
    try:
        join_towers(image, weights)
    except InputError:
        return False
    return True
