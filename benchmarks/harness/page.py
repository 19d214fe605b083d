"""The text of RESULTS.md."""

from collections.abc import Mapping, Sequence

from .conditions import OWN
from .figure import Dtype, Figure, show_relation, show_value
from .precision import DTYPES
from .results import Result
from .scripts import ALL_SCRIPTS, Script

HEAD = """\
# Measured results

Written by `python -m benchmarks` (`make bench`) from [results.json](results.json). Each script runs the peer and ours
in turn, on the CPU in float32 unless a column says bfloat16. A ratio is the peer's value over ours: above 1, ours is
faster or smaller. What was expected, found and tried is in [NOTES.md](NOTES.md).

"Of the rate" compares machines: the arithmetic of ours by its formula, per second of processor time, as a fraction of
what large matrix products in the same precision do in the same run. The line above a table has that rate for one core.

Every table has its date and what differs from these conditions, which are those of the last run:
"""


def render(results: Mapping[str, Result]) -> str:
    """Return the page: the conditions of the last run, scripts without results, and a table for each script.

    Args:
        results: Results by the name of the script; at least one.
    """
    newest = max((result.conditions for result in results.values()), key=lambda shown: shown["date"])
    rows = "".join(f"| {name} | {value} |\n" for name, value in newest.items() if name not in OWN)
    parts = [HEAD, f"| | |\n|---|---|\n{rows}", _missing(results)]
    parts += [_section(script, results[script.name], newest) for script in ALL_SCRIPTS if script.name in results]
    return "\n".join(part for part in parts if part)


def _missing(results: Mapping[str, Result]) -> str:
    """List the scripts that have no complete results."""
    lines = []
    for script in ALL_SCRIPTS:
        outcome = results[script.name].outcome if script.name in results else None
        if outcome is None:
            reason = " (it needs a GPU)" if script.needs_gpu else ""
            lines.append(f"* not run: {script.name}{reason}\n")
        elif outcome.state != "finished":
            lines.append(f"* {outcome.state}: {script.name} ({outcome.note})\n")
    return "".join(lines)


def _section(script: Script, result: Result, newest: Mapping[str, str]) -> str:
    outcome = result.outcome
    shown = [f"{name} {value}" for name, value in result.conditions.items() if name in OWN or value != newest.get(name)]
    lines = [
        f"## {script.name}\n",
        f"{script.title} ([script]({script.name}.py), [notes](NOTES.md#{script.name})).\n",
        f"`{result.command}`, {', '.join(shown)}\n",
    ]
    if outcome.state != "finished":
        lines.append(f"**{outcome.state.capitalize()}**: {outcome.note}\n")
    if outcome.figures:
        lines.append(_table(outcome.figures))
    return "\n".join(lines)


def _table(figures: Sequence[Figure]) -> str:
    """Return the table, with columns for bfloat16 and for the rate only if a figure has them."""
    rows: list[dict[Dtype, Figure]] = []
    for figure in figures:
        for row in rows:
            if figure.dtype not in row and _case(figure) == _case(next(iter(row.values()))):
                row[figure.dtype] = figure
                break
        else:
            rows.append({figure.dtype: figure})
    with_rate = any(figure.rate_fraction is not None for figure in figures)
    dtypes = [dtype for dtype in DTYPES if any(dtype in row for row in rows)]
    titles = ["figure"]
    for dtype in dtypes:
        suffix = "" if dtype == "float32" else f", {dtype}"
        titles += [f"{title}{suffix}" for title in ("peer", "ours", "peer / ours", *(["of the rate"] * with_rate))]
    lines = [f"| {' | '.join(titles)} |\n", "|---" * len(titles) + "|\n"]
    for row in rows:
        cells = [": ".join(_case(next(iter(row.values())))[:2])]
        for dtype in dtypes:
            cells += _cells(row.get(dtype), with_rate)
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def _case(figure: Figure) -> tuple[str, str, str]:
    return figure.name, figure.quantity, figure.peer


def _cells(figure: Figure | None, with_rate: bool) -> list[str]:
    if figure is None:
        return [""] * (3 + with_rate)
    theirs = "" if figure.theirs is None else f"{figure.peer} {show_value(figure.theirs, figure.unit)}"
    cells = [theirs, show_value(figure.ours, figure.unit), show_relation(figure)]
    if with_rate:
        cells.append("" if figure.rate_fraction is None else f"{figure.rate_fraction:.0%}")
    return cells
