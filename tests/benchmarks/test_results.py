"""The page says what the data say, every script has its table, and README and docs cite no other figure."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks.harness.citations import unknown_measurements, unknown_ratios
from benchmarks.harness.figure import Figure
from benchmarks.harness.page import render
from benchmarks.harness.results import load_results
from benchmarks.harness.scripts import ALL_SCRIPTS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
RESULTS = load_results(FOLDER / "results.json")
FIGURES = [figure for result in RESULTS.values() for figure in result.outcome.figures]
DOCUMENTS = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]


def test_the_page_is_made_from_the_data():
    assert (FOLDER / "RESULTS.md").read_text(encoding="utf-8") == render(RESULTS)


def test_every_script_is_listed():
    runnable = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert {script.name for script in ALL_SCRIPTS} == runnable - {"__main__"}


@pytest.mark.parametrize("script", ALL_SCRIPTS, ids=lambda script: script.name)
def test_every_script_has_finished_figures_and_notes(script):
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


@pytest.mark.parametrize("name", DOCUMENTS)
def test_ratios_in_texts_are_results(name):
    assert unknown_ratios((ROOT / name).read_text(encoding="utf-8"), FIGURES) == []


def test_measurements_in_the_readme_are_results():
    assert unknown_measurements((ROOT / "README.md").read_text(encoding="utf-8"), FIGURES) == []


KNOWN = [
    Figure("attention", "time", "s", 1.0, "stock", 2.674),
    Figure("loading", "time", "s", 1.49, "stock", 60.1),
    Figure("a step", "memory, predicted", "MiB", 293.0, "measured", 307.0, "error"),
    Figure("digits", "top-1", "%", 93.14, "from scratch", 93.5, ""),
    Figure("photo", "memory", "GB", 5.81),
    Figure("tiles", "box AP", "AP", 80.2),
]


@pytest.mark.parametrize(
    "text",
    [
        "is 2.67x as fast",
        "| 2.7x |",
        "| 3x |",
        "40x",
        "2.67 x less",
        "40 times faster",
        "80x80 tokens of 640x480 pixels, 96 x 96 pixels, 4 clips x 3 crops",
        "played at 1x, 2x or 4x",
        "in 1.5 s",
        "about 65 s",
        "off by 4.6 %",
        "93.1 % or 93.5 %",
        "in 60 s and\n5.8 GB",
        "80 box AP",
        "60 % of the patches",
    ],
)
def test_what_is_known_or_no_figure(text):
    assert unknown_ratios(text, KNOWN) + unknown_measurements(text, KNOWN) == []


@pytest.mark.parametrize(
    "text",
    [
        *("2.66x", "2.8x", "| 4x |", "41x", "93.5x", "2.66 x less", "41 times faster"),
        *("1.6 s", "about 75 s", "4.7 %", "93.2 %", "60 s and 5.9 GB", "81 box AP"),
    ],
)
def test_what_is_not_known(text):
    assert len(unknown_ratios(text, KNOWN) + unknown_measurements(text, KNOWN)) == 1


def test_an_unmeasured_ratio_in_the_readme_is_found():
    text = re.sub(r"\d+\.\d+x", "9.99x", (ROOT / "README.md").read_text(encoding="utf-8"), count=1)
    assert unknown_ratios(text, FIGURES) == ["9.99x"]
