"""Run a command in a process of its own with a time limit, and collect the figures that it records."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .figure import FIGURES, read_figures
from .results import Outcome

ROOT = Path(__file__).parents[2]


def run_command(command: Sequence[str], limit: float) -> Outcome:
    """Run `command` in the repository root for at most `limit` seconds.

    Afterwards no process of the command is left running, even if this process is interrupted.
    """
    with tempfile.TemporaryDirectory() as folder:
        figures, errors = Path(folder, "figures.jsonl"), Path(folder, "errors.txt")
        with errors.open("wb") as file:
            status = _wait(command, limit, {**os.environ, FIGURES: str(figures)}, file.fileno())
        if status == 0:
            return Outcome("finished", "", read_figures(figures))
        text = errors.read_text(encoding="utf-8", errors="replace").strip()
        print(text, flush=True)
        if status is None:
            return Outcome("not finished", f"stopped after {limit:.0f} s", read_figures(figures))
        note = text.splitlines()[-1] if text else f"exit status {status}"
        return Outcome("failed", note, read_figures(figures))


def _wait(command: Sequence[str], limit: float, environment: dict[str, str], errors: int) -> int | None:
    """Run a command and return its exit status, or None if it timed out."""
    # In a session of its own, so that the processes that it starts can be killed with it.
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=errors, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
