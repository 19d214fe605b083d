"""The report of the GPU benchmark: gpu.json and gpu.md with the device, and the results of the parts so far."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.harness.conditions import conditions
from benchmarks.harness.figure import Figure, show_relation, show_value, to_json
from benchmarks.harness.results import Outcome
from eva_engine.atomic import atomic_path

TABLE_HEAD = "| case | peer | measured | gain or error | of the card's rate |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class PartResult:
    """Results of a part.

    Attributes:
        outcome: How its process ended.
        figures: What it measured before that.
        skipped: The reason for each case without figures, by the name of the case.
    """

    outcome: Outcome
    figures: tuple[Figure, ...]
    skipped: dict[str, str]

    @property
    def failed(self) -> bool:
        """Whether the process failed or was stopped, or a test failed."""
        return self.outcome.state != "finished" or "the test failed" in self.skipped.values()


def read_part(path: Path, outcome: Outcome) -> PartResult:
    """Read what a part has written; nothing if it ended before it wrote anything."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"figures": [], "skipped": {}}
    return PartResult(outcome, tuple(Figure(**figure) for figure in content["figures"]), content["skipped"])


def device_name() -> str:
    """Return the name and memory of the GPU, or say that there is none."""
    if not torch.cuda.is_available():
        return "no GPU: tiny models on the CPU, whose figures mean nothing"
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"


def write_report(results: Mapping[str, PartResult], output: Path) -> None:
    """Replace gpu.json and gpu.md in the folder `output`."""
    shown = {"device": device_name(), **conditions()}
    parts = {}
    for name, result in results.items():
        parts[name] = {
            "state": result.outcome.state,
            "note": result.outcome.note,
            "figures": [to_json(figure) for figure in result.figures],
            "skipped": result.skipped,
        }
    content = {"conditions": shown, "parts": parts}
    with atomic_path(output / "gpu.json") as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with atomic_path(output / "gpu.md") as partial:
        partial.write_text(render(results, shown), encoding="utf-8")


def render(results: Mapping[str, PartResult], shown: Mapping[str, str]) -> str:
    """Return the tables of all parts as Markdown.

    Args:
        results: Results by the name of the part.
        shown: Conditions of the run by name.
    """
    rows = "".join(f"| {name} | {value} |\n" for name, value in shown.items())
    parts = [f"# Measured on {shown['device']}\n", f"| | |\n|---|---|\n{rows}"]
    for name, result in results.items():
        parts.append(f"## {name}\n")
        if result.outcome.state != "finished":
            parts.append(f"**{result.outcome.state.capitalize()}**: {result.outcome.note}\n")
        if result.figures:
            table = "".join(map(_row, result.figures))
            parts.append(
                f"| case | peer | measured | gain or error | of the card's rate |\n|---|---|---|---|---|\n{table}"
            )
        if result.skipped:
            parts.append("Skipped:\n\n" + "".join(f"* {case}: {why}\n" for case, why in result.skipped.items()))
    return "\n".join(parts)


def _row(figure: Figure) -> str:
    theirs = "" if figure.theirs is None else f"{figure.peer} {show_value(figure.theirs, figure.unit)}"
    fraction = "" if figure.rate_fraction is None else f"{figure.rate_fraction:.0%}"
    ours = show_value(figure.ours, figure.unit)
    cells = (f"{figure.name}: {figure.quantity}", theirs, ours, show_relation(figure), fraction)
    return f"| {' | '.join(cells)} |\n"
