"""The text of RESULTS.md."""

from collections.abc import Mapping

from .conditions import OWN
from .figure import Figure, show_relation, show_value
from .results import Result
from .scripts import ALL_SCRIPTS, Script

HEAD = """\
# Measured results

Written by `python -m benchmarks` (`make bench`) from [results.json](results.json). Each script runs the peer and ours
in turn, in float32 on the CPU. A ratio is the peer's value over ours: above 1, ours is faster or smaller. What was
expected, found and tried is in [NOTES.md](NOTES.md).

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
            lines.append(f"* not run: {script.name}\n")
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
        table = "".join(map(_row, outcome.figures))
        lines.append(f"| figure | peer | ours | peer / ours |\n|---|---|---|---|\n{table}")
    return "\n".join(lines)


def _row(figure: Figure) -> str:
    theirs = "" if figure.theirs is None else f"{figure.peer} {show_value(figure.theirs, figure.unit)}"
    cells = (f"{figure.name}: {figure.quantity}", theirs, show_value(figure.ours, figure.unit), show_relation(figure))
    return f"| {' | '.join(cells)} |\n"
