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
    """The teacher of pre-training, the text tower of a CLIP."""
    uses = []
    for recipe in recipes:
        if _is_teacher(weights, recipe):
            change = override("model.teacher.weights", str(path))
            uses.append(
                OtherUse("teacher of pre-training", f"python -m tools train --config-file {recipe.path} {change}")
            )
    if _has_text_tower(weights):
        uses.append(
            OtherUse(
                "text tower of a new CLIP",
                f"python -m tools join-clip-towers IMAGE_FILE {shlex.quote(str(path))} OUTPUT",
            )
        )
    return uses


def _is_teacher(weights: Mapping[str, Tensor], recipe: Recipe) -> bool:
    teacher = OmegaConf.select(recipe.cfg, "model.teacher")
    if teacher is None or "weights" not in teacher:
        return False
    build = locate(teacher._target_) if isinstance(teacher._target_, str) else teacher._target_
    try:
        with torch.device("meta"):
            build(dict(weights))
    except Exception:  # weights of anything else trip it in many ways
        return False
    return True


def _has_text_tower(weights: Mapping[str, Tensor]) -> bool:
    from eva_clip.initialization import join_tower_weights  # imported by need: of a task

    image = {"blocks.0.attn.qkv.weight": torch.empty(0)}  # any image tower
    try:
        join_tower_weights(image, weights)
    except InputError:
        return False
    return True
