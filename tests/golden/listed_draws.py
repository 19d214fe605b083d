"""Weights and inputs that a spec lists as [name, shape, kind, ...], drawn in this order from one PCG64 stream."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

# kind -> (offset, scale); matrices are divided by the square root of their fan-in, "var" takes the absolute value
_KINDS = {
    "bias": (0.0, 0.05),
    "embed": (0.0, 0.5),
    "gamma": (0.0, 0.5),
    "mean": (0.0, 0.1),
    "norm_w": (1.0, 0.1),
    "offs_b": (0.0, 1.0),
    "offs_w": (0.0, 0.5),
    "relpos": (0.0, 0.2),
    "var": (1.0, 0.25),
    "weight": (0.0, 1.0),
}


def draw_weights(rows: Iterable[Sequence[Any]], seed: int) -> dict[str, torch.Tensor]:
    """Draw the entries [name, shape, kind]; those of the kind "skip" are omitted."""
    generator = np.random.Generator(np.random.PCG64(seed))
    state = {}
    for name, shape, kind in rows:
        if kind == "skip":
            continue
        offset, scale = _KINDS[kind]
        if kind in ("weight", "offs_w"):
            scale /= math.sqrt(math.prod(shape[1:]))
        z = generator.standard_normal(tuple(shape))
        state[name] = torch.from_numpy((offset + scale * (np.abs(z) if kind == "var" else z)).astype(np.float32))
    return state


def draw_inputs(rows: Iterable[Sequence[Any]], seed: int, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Draw inputs [name, shape, "normal", scale, offset] or [name, shape, "uniform", low, high].

    Args:
        rows: Inputs to draw.
        seed: Seed of the generator.
        sha256: Checksum of all values in order, if the spec has one.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    inputs, digest = {}, hashlib.sha256()
    for name, shape, kind, first, second in rows:
        if kind == "normal":
            values = first * generator.standard_normal(tuple(shape)) + second
        elif kind == "uniform":
            values = first + (second - first) * generator.random(tuple(shape))
        else:
            raise LookupError(f"no rule for inputs of the kind {kind!r}")
        values = values.astype(np.float32)
        digest.update(values.tobytes())
        inputs[name] = torch.from_numpy(values)
    assert sha256 in (None, digest.hexdigest())
    return inputs


def fill_listed(module: nn.Module, rows: Sequence[Sequence[Any]], seed: int) -> nn.Module:
    """Load the listed weights into `module`; names and shapes must be equal, except for index tables."""
    own = {name: list(value.shape) for name, value in module.state_dict().items()}
    listed = {name: shape for name, shape, _ in rows if not name.endswith("relative_position_index")}
    assert own == listed
    missing = module.load_state_dict(draw_weights(rows, seed), strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)
    return module


def assert_near(found: torch.Tensor, expected: np.ndarray, name: str, relative: float = 2e-5) -> None:
    """Assert a difference below `relative` times the largest expected value, or times 1 if that is larger."""
    atol = relative * max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=atol, err_msg=name)
