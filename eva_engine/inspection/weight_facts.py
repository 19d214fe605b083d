"""Facts about a model that the names and shapes of its weights show."""

import math
import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from eva_engine.checkpoint.load_report import describe_weights
from eva_engine.tasks import all_tasks, task_of_model

Weights = Mapping[str, Tensor]


def describe_model(weights: Weights, model: nn.Module | None) -> str:
    """Describe task, backbone, resolution, classes and decoder, as far as the weights show them.

    Args:
        weights: Names and shapes.
        model: A model that the weights belong to, which determines their task; None if it is unknown.
    """
    facts: list[str | None] = []
    if model is not None:
        facts.append(describe_kind(model))
    facts += [describe_weights(weights), _describe_positions(weights), _describe_relative_positions(weights)]
    for task in all_tasks():
        describe_task: Callable[[Weights], list[str | None]] | None = task.load("describe_weights")
        if describe_task is not None:
            facts += describe_task(weights)
    return ", ".join(dict.fromkeys(fact for fact in facts if fact))


def describe_kind(model: nn.Module) -> str:
    """Describe what a model is for, by its class."""
    name = type(model).__name__
    task = task_of_model(model)
    return name if task is None else task.models.get(name, name)


def has_prediction(model: nn.Module) -> bool:
    """Return whether `predict` can run the model, which it cannot for models of pre-training."""
    task = task_of_model(model)
    return task is not None and type(model).__name__ not in task.without_prediction


def _describe_positions(weights: Weights) -> str | None:
    table, kernel = find_weight(weights, r"(.*\.)?pos_embed"), find_weight(weights, r"(.*\.)?patch_embed\.proj\.weight")
    if table is None or kernel is None or table.ndim != 3 or kernel.ndim not in (4, 5):
        return None
    patch, length = kernel.shape[-1], table.shape[1]
    if kernel.ndim == 5:
        return f"{length - 1} space-time positions, tubes of {kernel.shape[2]} frames"
    for num_prefix_tokens in (1, 0):
        side = math.isqrt(max(length - num_prefix_tokens, 0))
        if side and side * side == length - num_prefix_tokens:
            return f"positions for {side * patch} px ({side} x {side} patches)"
    return f"{length} positions"


def _describe_relative_positions(weights: Weights) -> str | None:
    if any(name.endswith(".relative_position_bias_table") for name in weights):
        return "joint relative positions"
    kernel = find_weight(weights, r"(.*\.)?patch_embed\.proj\.weight")
    lengths = [len(value) for name, value in weights.items() if name.endswith(".rel_pos_h") and value.ndim == 2]
    if not lengths or kernel is None:
        return None
    return f"decomposed relative positions for {(max(lengths) + 1) // 2 * kernel.shape[-1]} px"


def find_weight(weights: Weights, pattern: str) -> Tensor | None:
    """Return the first entry with at least one dimension whose full name matches the regular expression `pattern`."""
    for name, value in weights.items():
        if value.ndim and re.fullmatch(pattern, name):
            return value
    return None


def count_layers(weights: Weights, pattern: str) -> int:
    """Return the number of layers whose names begin with a match of `pattern`, a dot and the number of the layer."""
    depth = 0
    for name in weights:
        match = re.match(rf"{pattern}\.(\d+)\.", name)
        if match:
            depth = max(depth, int(match.groups()[-1]) + 1)
    return depth


def describe_classes(weights: Weights, pattern: str, num_extra: int = 0) -> str | None:
    """Describe the number of classes of the layer that matches `pattern`, without `num_extra` further outputs."""
    head = find_weight(weights, pattern)
    if head is None or head.ndim != 2:
        return None
    return f"{len(head) - num_extra} classes"
