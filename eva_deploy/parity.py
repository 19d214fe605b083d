"""Compare an exported model with the original on real images."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eva_engine.prediction.inputs import Input
from eva_engine.prediction.predictor import Predictor

from .task_export import Agreement, TaskExport


@dataclass(frozen=True)
class Parity:
    """How well an exported model agrees with the original.

    Attributes:
        agreement: Largest differences and matched findings.
        num_inputs: Number of images or videos.
        tolerances: Largest accepted difference of each quantity.
        least_matched: Smallest accepted fraction of findings that are the same.
    """

    agreement: Agreement
    num_inputs: int
    tolerances: dict[str, float]
    least_matched: float

    @property
    def excesses(self) -> list[str]:
        """What exceeds the tolerance, in words; nothing if the exported model agrees with the original."""
        found = []
        if not self.agreement.num_findings:
            found.append("nothing was found by either model, so nothing was compared; give --images with objects")
        for name, value in self.agreement.differences.items():
            tolerance = self.tolerances.get(name, math.inf)
            if not value <= tolerance:
                found.append(f"{name} differs by {value:.2g}, more than {tolerance:g}")
        if self.agreement.matched < self.least_matched:
            found.append(f"{self.agreement.matched:.1%} of the findings match, less than {self.least_matched:.0%}")
        return found

    def lines(self) -> Iterator[str]:
        """Yield a table of the differences."""
        yield f"compared with the original on {self.num_inputs} inputs:"
        for name, value in self.agreement.differences.items():
            tolerance = f" (tolerance {self.tolerances[name]:g})" if name in self.tolerances else ""
            yield f"  largest difference of {name}: {value:.3g}{tolerance}"
        agreement = self.agreement
        if agreement.num_findings:
            yield (
                f"  matched: {agreement.num_matched:,} of {agreement.num_findings:,} ({agreement.matched:.2%}, "
                f"at least {self.least_matched:.0%})"
            )


def check_parity(
    export: TaskExport,
    original: Predictor[Any, Any],
    exported: Predictor[Any, Any],
    inputs: Sequence[Input],
    dtype: str,
) -> Parity:
    """Predict on inputs with both models, one after the other, and return how well they agree.

    Args:
        export: Exports of the task.
        original: Predictor with the model of PyTorch.
        exported: Predictor with the exported file.
        inputs: Images or videos.
        dtype: Type of the exported weights, which determines the tolerance.

    Raises:
        InputError: An input cannot be read.
    """
    agreement = Agreement()
    for item in inputs:
        agreement += export.compare(original, exported, [original.read(item)])
    return Parity(agreement, len(inputs), dict(export.tolerances.get(dtype, {})), export.least_matched[dtype])
