"""Running the scripts: what comes of success, failure, too much time and an interruption, and what is kept."""

import subprocess
import sys
import time
from collections.abc import Callable
from unittest import mock

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks.harness import conditions
from benchmarks.harness.allocations import peak_allocated
from benchmarks.harness.figure import Figure, record, show_relation, show_value
from benchmarks.harness.page import render
from benchmarks.harness.process import ROOT, run_command
from benchmarks.harness.results import Outcome, load_results
from benchmarks.harness.scripts import ALL_SCRIPTS, Script

RECORD = (
    "from benchmarks.harness.figure import Figure, record; record(Figure('a step', 'time', 's', 2.0, 'stock', 3.0))\n"
)
FIGURE = Figure("a step", "time", "s", 2.0, "stock", 3.0)
CONDITIONS = {"date": "2026-01-02", "other programs": "0.1 cores", "torch": "2.15.0"}
FIRST, SECOND = Script("pyramid", "One"), Script("classifier", "Another")


def run_code(code: str, limit: float = 60) -> Outcome:
    return run_command([sys.executable, "-c", code], limit)


def test_success():
    outcome = run_code(RECORD)
    assert (outcome.state, outcome.note, outcome.figures) == ("finished", "", (FIGURE,))


def test_a_failure_names_its_error_and_keeps_the_figures_before_it(capfd):
    outcome = run_code(RECORD + "raise ValueError('no such width')")
    assert (outcome.state, outcome.note) == ("failed", "ValueError: no such width")
    assert outcome.figures == (FIGURE,)
    assert "Traceback" in capfd.readouterr().out


def test_a_script_that_takes_too_long_is_stopped_with_what_it_has_started(tmp_path):
    mark = tmp_path / "alive"
    child = f"import pathlib, time; time.sleep(2.5); pathlib.Path({str(mark)!r}).touch()"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    outcome = run_code(code, limit=1.5)
    assert (outcome.state, outcome.note) == ("not finished", "stopped after 2 s")
    time.sleep(2.5)
    assert not mark.exists()


def test_a_line_that_was_not_finished_is_left_out():
    code = RECORD + "import os; open(os.environ['EVA_BENCHMARK_FIGURES'], 'a').write('{\"name\": ')"
    assert run_code(code).figures == (FIGURE,)


def test_a_script_by_itself_records_nothing(monkeypatch, tmp_path):
    monkeypatch.delenv("EVA_BENCHMARK_FIGURES", raising=False)
    monkeypatch.chdir(tmp_path)
    record(FIGURE)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def outcomes(monkeypatch):
    """What the scripts that run next come to, in turn; an exception is raised."""
    planned: list[Outcome | BaseException] = []

    def run(line, limit):
        del line, limit
        outcome = planned.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(command, "run_command", run)
    monkeypatch.setattr(command, "conditions", lambda _: dict(CONDITIONS))
    return planned


def finished(seconds: float) -> Outcome:
    return Outcome("finished", "", (Figure("a step", "time", "s", seconds, "stock", 3.0),))


def test_results_and_page_are_written_as_they_come(outcomes, tmp_path, capsys):
    outcomes += [finished(2.0), Outcome("failed", "ValueError: no such width", ())]
    assert command.run_all([FIRST, SECOND], False, tmp_path) == ["classifier"]
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| a step: time | stock 3.00 s | 2.00 s | 1.50x |" in page
    assert "`python -m benchmarks.pyramid --rounds 1`, date 2026-01-02, other programs 0.1 cores\n" in page
    assert "* failed: classifier (ValueError: no such width)" in page
    assert "* not run: video_decoding\n" in page
    assert "[2/2] classifier" in capsys.readouterr().out


def test_bfloat16_and_the_fraction_of_the_rate_have_columns(outcomes, tmp_path):
    figures = (
        Figure("a step", "time", "s", 2.0, "stock", 3.0, rate_fraction=0.756),
        Figure("a step", "memory", "MiB", 200.0, "stock", 300.0),
        Figure("a step", "time", "s", 1.0, "stock", 4.0, dtype="bfloat16", rate_fraction=0.5),
        Figure("a step", "time", "s", 2.0, "another", 5.0),
    )
    outcomes.append(Outcome("finished", "", figures))
    command.run_all([FIRST], False, tmp_path)
    assert (
        (tmp_path / "RESULTS.md")
        .read_text()
        .endswith(
            "| figure | peer | ours | peer / ours | of the rate "
            "| peer, bfloat16 | ours, bfloat16 | peer / ours, bfloat16 | of the rate, bfloat16 |\n"
            "|---|---|---|---|---|---|---|---|---|\n"
            "| a step: time | stock 3.00 s | 2.00 s | 1.50x | 76% | stock 4.00 s | 1.00 s | 4.00x | 50% |\n"
            "| a step: memory | stock 300 MiB | 200 MiB | 1.50x |  |  |  |  |  |\n"
            "| a step: time | another 5.00 s | 2.00 s | 2.50x |  |  |  |  |  |\n"
        )
    )


def test_scripts_that_need_a_gpu_are_left_out_without_one(outcomes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command.torch.cuda, "is_available", lambda: False)
    outcomes.append(finished(2.0))
    assert command.run_all([Script("gpu", "On a GPU", needs_gpu=True), FIRST], False, tmp_path) == []
    assert "not run: there is no CUDA device" in capsys.readouterr().out
    assert "* not run: gpu (it needs a GPU)\n" in (tmp_path / "RESULTS.md").read_text()


def test_an_interrupted_run_keeps_what_is_finished(outcomes, tmp_path):
    outcomes += [finished(4.0), finished(5.0), finished(6.0), KeyboardInterrupt()]
    command.run_all([FIRST, SECOND], False, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        command.run_all([FIRST, SECOND], False, tmp_path)
    results = load_results(tmp_path / "results.json")
    assert [result.outcome.figures for result in results.values()] == [finished(6.0).figures, finished(5.0).figures]
    assert (tmp_path / "RESULTS.md").read_text() == render(results)


def test_chosen_scripts_leave_the_other_tables_and_their_conditions(outcomes, tmp_path, monkeypatch):
    outcomes += [finished(4.0), finished(5.0), finished(6.0)]
    command.run_all([FIRST, SECOND], False, tmp_path)
    later = {"date": "2026-02-03", "other programs": "1.2 cores", "torch": "2.16.0"}
    monkeypatch.setattr(command, "conditions", lambda _: later)
    command.run_all([SECOND], False, tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| torch | 2.16.0 |" in page
    first = "`python -m benchmarks.pyramid --rounds 1`, date 2026-01-02, other programs 0.1 cores"
    assert f"{first}, torch 2.15.0\n" in page
    assert "| a step: time | stock 3.00 s | 4.00 s | 0.75x |" in page
    assert "`python -m benchmarks.classifier --rounds 1`, date 2026-02-03, other programs 1.2 cores\n" in page
    assert "| a step: time | stock 3.00 s | 6.00 s | 0.50x |" in page


@pytest.mark.parametrize(
    ("outcome", "missing", "status"),
    [([], [], 0), (["pyramid"], [], 1), ([], ["README.md"], 1), (KeyboardInterrupt(), ["README.md"], 130)],
)
def test_exit_status_of_all_scripts(monkeypatch, outcome, missing, status):
    run_all = mock.Mock(side_effect=[outcome])
    monkeypatch.setattr(command, "run_all", run_all)
    monkeypatch.setattr(command, "write_citations", lambda: missing)
    monkeypatch.setattr(command.signal, "signal", mock.Mock())
    assert command.main([]) == status
    assert run_all.call_args.args[0] == ALL_SCRIPTS


def test_what_only_the_scripts_need_is_installed_before_they_run():
    command = ["make", "-n", "--no-print-directory", "bench"]  # make test may be what runs this
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert lines.splitlines()[-2].endswith("--no-deps -r requirements/bench.txt")
    assert lines.splitlines()[-1].endswith("-m benchmarks")


def test_processor_time_of_other_programs(tmp_path, monkeypatch):
    """Idle and waiting cores are not busy, time given to other machines is; guests are counted among the users."""
    stat = tmp_path / "stat"
    user, nice, system, idle, waiting, interrupts, late, elsewhere, guests = 900, 10, 40, 7000, 800, 20, 20, 10, 300
    ticks = (user, nice, system, idle, waiting, interrupts, late, elsewhere, guests, 0)
    stat.write_text(f"cpu  {' '.join(map(str, ticks))}\ncpu0 1 2 3 4 5 6 7 8 9 0\n")
    monkeypatch.setattr(conditions, "Path", lambda _: stat)
    monkeypatch.setattr(conditions.os, "times", lambda: (1.0, 0.5, 3.0, 1.5, 99.0))
    monkeypatch.setattr(conditions.os, "sysconf", {"SC_CLK_TCK": 100}.get)
    assert conditions.others_seconds() == pytest.approx(10.0 - 6.0)


def test_a_wrong_name_is_told(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["backbones"])
    assert "unknown script backbones; choose from backbone, pyramid," in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1.853, "s", "1.85 s"),
        (0.00197, "s", "2.0 ms"),
        (14.853, "s", "14.9 s"),
        (118.2, "s", "118 s"),
        (7782.4, "MiB", "7,782 MiB"),
        (1073745214, "", "1,073,745,214"),
    ],
)
def test_shown_values(value, unit, shown):
    assert show_value(value, unit) == shown


@pytest.mark.parametrize(
    ("ours", "theirs", "relation", "shown"),
    [
        (1.0, 1.274, "ratio", "1.27x"),
        (1.0, 40.81, "ratio", "40.8x"),
        (1.0, 250.4, "ratio", "250x"),
        (95.0, 100.0, "error", "-5.0 %"),
        (95.0, 100.0, "", ""),
        (95.0, None, "ratio", ""),
    ],
)
def test_shown_relations(ours, theirs, relation, shown):
    assert show_relation(Figure("a step", "time", "s", ours, "stock", theirs, relation)) == shown


def test_a_rate_is_compared_the_other_way_round():
    assert show_relation(Figure("a step", "speed", "images/s", 5.0, "stock", 2.0)) == "2.50x"


def two_tensors() -> Callable[[], object]:
    """A case for `side_by_side`: 3 MiB at most at the same time, of 4 MiB in all."""

    def run() -> None:
        first = torch.zeros(2**18)  # 1 MiB
        second = torch.zeros(2**19)
        del first, second
        torch.zeros(2**18)

    return run


def test_memory_of_tensors_is_counted_exactly():
    assert peak_allocated(two_tensors()) == 3 * 2**20
