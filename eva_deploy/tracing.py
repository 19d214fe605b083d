"""Trace a graph to a program of `torch.export`, from which every format is written."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from .graph import ExportGraph


class _WithBorders(nn.Module):
    """A module whose outputs of lower precision are converted to float32, which all runtimes and NumPy have."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.module(*inputs)
        listed = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.float() if output.is_floating_point() else output for output in listed)


def trace(graph: ExportGraph) -> ExportedProgram:
    """Return the program of a graph; errors of the tracer are not the user's and keep their traceback."""
    axes = _axes(graph)
    shapes = []
    for item in graph.inputs:
        shapes.append({axis: axes[size] for axis, size in enumerate(item.shape) if isinstance(size, str)})
    with torch.no_grad():
        return torch.export.export(
            _WithBorders(graph.module).eval(), graph.example, dynamic_shapes=(tuple(shapes),), strict=False
        )


def _axes(graph: ExportGraph) -> dict[str, Any]:
    """Return the symbolic size of each axis that may vary, by its text."""
    axes: dict[str, Any] = {}
    for item in graph.inputs:
        for size in item.shape:
            if not isinstance(size, str) or size in axes:
                continue
            factor, largest = item.multiple_of.get(size, 1), item.largest.get(size)
            if factor == 1:
                axes[size] = Dim(size, min=1, max=largest)
            else:
                most_steps = None if largest is None else largest // factor
                steps = Dim(f"{size}_steps", min=1, max=most_steps)
                axes[size] = factor * steps
    return axes
