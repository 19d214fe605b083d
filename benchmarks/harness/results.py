"""Results of the scripts, as stored in results.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eva_engine.atomic import atomic_path

from .figure import Figure, to_json


@dataclass(frozen=True)
class Outcome:
    """Outcome of a process.

    Attributes:
        state: Finished, failed, or stopped at the time limit ("not finished").
        note: Reason why it did not finish; "" if it did.
        figures: Figures that it recorded before it ended.
    """

    state: Literal["finished", "failed", "not finished"]
    note: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Result:
    """The last run of a script: the command, its outcome, and its conditions (date, machine, versions)."""

    command: str
    conditions: dict[str, str]
    outcome: Outcome


def load_results(path: Path) -> dict[str, Result]:
    """Load results by the name of the script; empty if the file does not exist."""
    if not path.exists():
        return {}
    return {name: _from_json(content) for name, content in json.loads(path.read_text(encoding="utf-8")).items()}


def save_results(results: dict[str, Result], path: Path) -> None:
    """Replace the file atomically."""
    content = {name: _to_json(result) for name, result in results.items()}
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _to_json(result: Result) -> dict[str, object]:
    outcome = result.outcome
    return {
        "command": result.command,
        "state": outcome.state,
        "note": outcome.note,
        "conditions": result.conditions,
        "figures": [to_json(figure) for figure in outcome.figures],
    }


def _from_json(content: dict) -> Result:
    figures = tuple(Figure(**figure) for figure in content["figures"])
    outcome = Outcome(content["state"], content["note"], figures)
    return Result(content["command"], content["conditions"], outcome)
