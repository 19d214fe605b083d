"""What the weights of a classifier or a pre-training model are, and what they can be used for, for `inspect`."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from detectron2.utils.registry import locate
from omegaconf import OmegaConf
from torch import Tensor

from eva_engine.inspection.other_uses import OtherUse
from eva_engine.inspection.recipes import Recipe
from eva_engine.inspection.weight_facts import describe_classes, find_weight
from eva_engine.report.run_commands import override


def describe_weights(weights: Mapping[str, Tensor]) -> list[str | None]:
    """Describe the head of a classifier, or what a pre-training model predicts."""
    facts = [describe_classes(weights, r"(backbone\.)?head\.(\d+\.)?weight")]
    prediction = find_weight(weights, r"lm_head\.weight")
    if prediction is not None and prediction.ndim == 2:
        facts.append(f"predicts {len(prediction)} features per patch")
    return facts


def find_teacher_uses(weights: Mapping[str, Tensor], path: Path, recipes: Iterable[Recipe]) -> list[OtherUse]:
    """Return the recipes of pre-training whose teacher the weights fit."""
    uses = []
    for recipe in recipes:
        if _is_teacher(weights, recipe):
            change = override("model.teacher.weights", str(path))
            command = f"python -m tools train --config-file {shlex.quote(recipe.path)} {change}"
            uses.append(OtherUse("teacher of pre-training", command))
    return uses


def _is_teacher(weights: Mapping[str, Tensor], recipe: Recipe) -> bool:
    teacher = OmegaConf.select(recipe.cfg, "model.teacher")
    if teacher is None or "weights" not in teacher:
        return False
    build = locate(teacher._target_) if isinstance(teacher._target_, str) else teacher._target_
    try:
        with torch.device("meta"):
            build(dict(weights))
    except Exception:  # weights of any other model can fail in many ways
        return False
    return True
