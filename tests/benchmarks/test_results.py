"""The page says what the data say, and every script has its table."""

import ast
from pathlib import Path

import pytest

from benchmarks.harness.page import render
from benchmarks.harness.results import load_results
from benchmarks.harness.scripts import ALL_SCRIPTS

FOLDER = Path(__file__).parents[2] / "benchmarks"
RESULTS = load_results(FOLDER / "results.json")


def test_the_page_is_made_from_the_data():
    assert (FOLDER / "RESULTS.md").read_text(encoding="utf-8") == render(RESULTS)


def test_every_script_is_listed():
    runnable = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert {script.name for script in ALL_SCRIPTS} == runnable - {"__main__"}


@pytest.mark.parametrize("script", ALL_SCRIPTS, ids=lambda script: script.name)
def test_every_script_has_finished_figures_and_notes(script):
    if not script.needs_gpu:
        outcome = RESULTS[script.name].outcome
        assert outcome.state == "finished"
        assert outcome.figures
    assert f"\n## {script.name}\n" in (FOLDER / "NOTES.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ALL_SCRIPTS, ids=lambda script: script.name)
def test_every_script_has_the_options_it_is_run_with(script):
    source = ast.parse((FOLDER / f"{script.name}.py").read_text(encoding="utf-8"))
    known = {
        call.args[0].value
        for call in ast.walk(source)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "add_argument"
    }
    assert {word for word in (*script.short, *script.full) if word.startswith("--")} <= known
