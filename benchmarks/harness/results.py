"""The results of the scripts as they are kept beside the page: results.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eva_engine.atomic import atomic_path

from .figure import Figure, to_json


@dataclass(frozen=True)
class Outcome:
    """What a process that was started has come to.

    Attributes:
        state: finished, failed, or stopped at its time limit.
        note: why it is not finished; "" when it is.
        figures: those that it has stated, up to its end.
    """

    state: Literal["finished", "failed", "not finished"]
    note: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Result:
    """The last run of a script: the command, its outcome, and date, machine and versions as `conditions`."""

    command: str
    conditions: dict[str, str]
    outcome: Outcome


def load_results(path: Path) -> dict[str, Result]:
    """By name of the script; none where the file does not exist."""
    if not path.exists():
        return {}
    return {name: _from_json(content) for name, content in json.loads(path.read_text(encoding="utf-8")).items()}


def save_results(results: dict[str, Result], path: Path) -> None:
    """Replace the file as a whole."""
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
