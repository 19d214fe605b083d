"""Gradients of a network some of whose ReLUs have inputs so close to zero that rounding decides their derivatives.

Whether such an input is positive depends on the order of sums, and so on the processor: both derivatives, 0 and 1, are
right, and each gives other gradients of all layers before it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

UNDECIDED = (
    3e-6  # inputs below this fraction of the largest one in the same layer; rounding errors are about 1e-7 of it
)
MOST_UNITS, MOST_FLIPPED = 40, 3
Unit = tuple[int, int]  # number of the ReLU in the order of calls, position in its input


class ReluDerivatives(TorchFunctionMode):
    """Record the undecided units of all ReLUs, and use the other derivative for those in `flipped`."""

    def __init__(self, flipped: set[Unit]) -> None:
        super().__init__()
        self.flipped = flipped
        self.undecided: list[Unit] = []
        self._num_calls = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_):
            return self._relu(args[0])
        return function(*args, **(kwargs or {}))

    def _relu(self, x: Tensor) -> Tensor:
        call, self._num_calls = self._num_calls, self._num_calls + 1
        values = x.detach().flatten()
        near = (values.abs() < UNDECIDED * values.abs().max()).nonzero().flatten().tolist()
        self.undecided += [(call, position) for position in near]
        is_open = values > 0
        for position in near:
            if (call, position) in self.flipped:
                is_open[position] = ~is_open[position]
        return x * is_open.view_as(x)


def closest_gradients(compute: Callable[[], np.ndarray], expected: np.ndarray) -> np.ndarray:
    """Return the gradient norms that are closest to the expected ones over the derivatives of a few undecided units.

    Args:
        compute: Runs the network forward and backward and returns its gradient norms.
        expected: The norms found on another processor.
    """
    best, undecided = _compute(compute, set())
    assert len(undecided) <= MOST_UNITS, f"{len(undecided)} undecided units"
    flipped: set[Unit] = set()
    for _ in range(MOST_FLIPPED):
        distances = {}
        for unit in set(undecided) - flipped:
            norms, _ = _compute(compute, {*flipped, unit})
            distances[_distance(norms, expected)] = (unit, norms)
        closest = min(distances, default=np.inf)
        if closest > _distance(best, expected) / 2:  # one derivative explains most of a difference, or none of it
            break
        unit, best = distances[closest]
        flipped.add(unit)
    return best


def _compute(compute: Callable[[], np.ndarray], flipped: set[Unit]) -> tuple[np.ndarray, list[Unit]]:
    torch.manual_seed(0)  # the same order of samples, and so the same positions
    with ReluDerivatives(flipped) as mode:
        return compute(), mode.undecided


def _distance(norms: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(norms / expected.clip(1e-6) - 1))
