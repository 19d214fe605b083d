"""Accuracy of a variant: what `evaluate` measures on the test data of the recipe."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .rounds import run_verb


def measure_accuracy(weights: str, options: Sequence[str], dtype: str | None) -> dict[str, float]:
    """Evaluate weights or an exported file, and return the main metric of each group of results.

    Args:
        weights: Weights or exported file.
        options: Further arguments of `evaluate`.
        dtype: Type of the weights, or None for that of an exported file.

    Raises:
        InputError: The evaluation failed, for example because the data is missing.
    """
    with tempfile.TemporaryDirectory(prefix="eva-vision-") as folder:
        chosen = [] if dtype is None else ["--dtype", dtype]
        run_verb(["evaluate", "--weights", weights, *chosen, *options, f"train.output_dir={folder}"], "the evaluation")
        return main_metrics(json.loads(Path(folder, "results.json").read_text(encoding="utf-8")))


def main_metrics(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the first metric of each group, such as {"bbox AP": 80.2, "segm AP": 86.7}."""
    metrics: dict[str, float] = {}
    for name, value in results.items():
        if isinstance(value, Mapping):
            inner = next(iter(main_metrics(value).items()), None)
            if inner is not None:
                metrics[f"{name} {inner[0]}"] = inner[1]
        elif isinstance(value, int | float):
            metrics[name] = float(value)
            break
    return metrics
