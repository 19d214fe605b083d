"""Seeded weights and inputs: one PCG64 stream over the sorted state-dict names, as the spec of a case describes."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

Rules = Sequence[Sequence[Any]]  # [pattern, "plain" | "fan" | "skip", base, scale]


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def draw_normal(seed: int, shape: Sequence[int], scale: float = 1.0) -> torch.Tensor:
    """Draw normal values with standard deviation `scale` in float64 and return them in float32."""
    return torch.from_numpy((_generator(seed).standard_normal(tuple(shape)) * scale).astype(np.float32))


def draw_image(seed: int, height: int, width: int) -> torch.Tensor:
    """Draw a float image [3, height, width] with integer values from 0 to 255."""
    return torch.from_numpy(np.floor(_generator(seed).random((3, height, width)) * 256).astype(np.float32))


def _matching_rule(name: str, shape: Sequence[int], rules: Rules) -> Sequence[Any]:
    for rule in rules:
        pattern = rule[0]
        if (
            pattern == "<otherwise>"
            or (pattern == "<1-D tensor>" and len(shape) == 1)
            or (not pattern.startswith("<") and re.search(pattern, name))
        ):
            return rule
    raise LookupError(f"no weight rule for {name} {tuple(shape)}")


def draw_state_dict(shapes: Mapping[str, Sequence[int]], rules: Rules, seed: int) -> dict[str, torch.Tensor]:
    """Draw weights for `shapes` in sorted order from one generator; entries with a "skip" rule are omitted."""
    generator = _generator(seed)
    state = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        _, kind, base, scale = _matching_rule(name, shape, rules)
        if kind == "skip":
            continue
        if kind == "fan":
            scale = scale / math.sqrt(math.prod(shape[1:]))
        state[name] = torch.from_numpy((base + scale * generator.standard_normal(shape)).astype(np.float32))
    return state


def fill_model(model: nn.Module, spec: Mapping[str, Any], expected_abs_sums: np.ndarray | None = None) -> nn.Module:
    """Load the seeded weights of `spec` into `model`; names and shapes must be equal."""
    own = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert own == {name: list(shape) for name, shape in spec["state_dict_shapes"].items()}
    missing = model.load_state_dict(draw_state_dict(own, spec["weight_rules"], spec["weight_seed"]), strict=False)
    assert not missing.unexpected_keys
    if expected_abs_sums is not None:
        state = model.state_dict()
        sums = [state[name].double().abs().sum().item() for name in sorted(state)]
        np.testing.assert_allclose(sums, expected_abs_sums, rtol=1e-12)
    return model
