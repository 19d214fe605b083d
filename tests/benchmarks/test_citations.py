"""README and docs hold the figures of the results, each that of its own row, and no other measured figure."""

import re
import shutil
from pathlib import Path

import pytest

from benchmarks.__main__ import write_citations
from benchmarks.harness.citations import Cited, uncited, with_results
from benchmarks.harness.cited import CITED
from benchmarks.harness.figure import Figure
from benchmarks.harness.results import Outcome, Result, load_results

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]
REAL = load_results(ROOT / "benchmarks/results.json")


@pytest.mark.parametrize("name", CITED)
def test_documents_hold_the_results(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert with_results(text, CITED[name], REAL) == text, "`python -m benchmarks --render` puts the numbers in"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_hold_no_other_measured_figure(name):
    """What this finds belongs into benchmarks/harness/cited.py."""
    assert uncited((ROOT / name).read_text(encoding="utf-8"), CITED.get(name, {})) == []


def rows_of_ratios() -> list[tuple[str, str]]:
    """Return the rows of tables that end with a ratio, each with its page."""
    pages = ("README.md", "docs/differences.md")
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in pages}
    return [(page, row) for page, text in texts.items() for row in re.findall(r"^\|.*\dx \|.*\n", text, re.M)]


@pytest.mark.parametrize(("page", "row"), rows_of_ratios())
def test_a_number_of_another_row_is_no_result(page, row):
    text = (ROOT / page).read_text(encoding="utf-8")
    wrong = text.replace(row, re.sub(r"\d+(\.\d+)?x \|", "1.11x |", row))
    assert wrong != text
    assert with_results(wrong, CITED[page], REAL) != wrong


def test_stale_documents_are_rewritten_and_what_is_missing_is_told(tmp_path, capsys):
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("images"))
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks/results.json", tmp_path / "benchmarks")
    real = (ROOT / "README.md").read_text(encoding="utf-8")
    stale = re.sub(r"\d(?=[\d.]*x \|)", "9", real)
    assert stale != real
    (tmp_path / "README.md").write_text(stale, encoding="utf-8")
    demos = (tmp_path / "docs/demos.md").read_text(encoding="utf-8").replace("mIoU", "mean IoU")
    (tmp_path / "docs/demos.md").write_text(demos, encoding="utf-8")
    assert write_citations(tmp_path) == ["docs/demos.md"]
    assert "docs/demos.md is not updated: 'in {} s and reaches {} % mIoU' occurs 0 times" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == real


FIGURES = (
    Figure("four blocks", "time", "s", 2.0, "stock", 2.5),
    Figure("four blocks", "memory", "MiB", 1000.0, "stock", 12349.0),
    Figure("one photo", "time", "s", 120.4),
)
RESULTS = {"backbone": Result("python -m benchmarks.backbone", {}, Outcome("finished", "", FIGURES))}
RATIO, PEER = Cited("backbone", "four blocks", "time", "ratio"), Cited("backbone", "four blocks", "memory", "theirs")
PHOTO = Cited("backbone", "one photo", "time")


@pytest.mark.parametrize(
    ("text", "phrase", "numbers", "expected"),
    [
        ("| four | 9.99x | 1 MiB |", "| four | {}x | {} MiB |", [RATIO, PEER], "| four | 1.25x | 12,349 MiB |"),
        ("one photo takes\n7 s here", "photo takes {} s", [PHOTO], "one photo takes\n120 s here"),
        ("takes 7.0 s (1.0 s before)", "takes {} s (", [PHOTO], "takes 120.4 s (1.0 s before)"),
        ("was 48.3 % then", "was 48.3 % then", [], "was 48.3 % then"),
    ],
)
def test_numbers_are_put_in_with_the_decimals_that_stand_there(text, phrase, numbers, expected):
    assert with_results(text, {phrase: numbers}, RESULTS) == expected


@pytest.mark.parametrize(
    ("phrase", "cited", "error"),
    [
        ("takes {} s", PHOTO, "'takes {} s' occurs 2 times in the text, expected once"),
        ("lasts {} s", PHOTO, "occurs 0 times"),
        ("or {} min", Cited("pyramid", "training", "time"), "results of pyramid have no ours of training: time"),
        ("or {} min", Cited("backbone", "one photo", "time", "ratio"), "have no ratio of one photo: time"),
    ],
)
def test_what_cannot_be_put_in_is_named(phrase, cited, error):
    with pytest.raises(ValueError, match=re.escape(error)):
        with_results("it takes 7 s, then takes 8 s or 9 min", {phrase: [cited]}, RESULTS)


@pytest.mark.parametrize(
    "measured", ["2.66x", "2.8 x less", "41x", "| 4x |", "41 times faster", "1.6 s", "4.7 %", "81 box AP"]
)
def test_measured_figures_are_seen_unless_cited(measured):
    text = f"the model, {measured} now"
    assert len(uncited(text, {})) == 1
    assert uncited(text, {re.sub(r"\d+(\.\d+)?", "{}", text): [RATIO]}) == []


@pytest.mark.parametrize("text", ["80x80 tokens, 96 x 96 pixels, 4 clips x 3 crops", "at 1x, 2x or 4x", "60 % of all"])
def test_what_is_no_measured_figure(text):
    assert uncited(text, {}) == []
