"""The GPU benchmark, shortened, on the CPU: every part measures, and what fails or takes too long is named."""

import json
import sys
import time

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_parts import backbones, contenders, cuda_tests, detector_models, report
from benchmarks.gpu_parts.bench import Bench
from benchmarks.harness.figure import Figure
from benchmarks.harness.matrix_rate import forward_operations
from benchmarks.harness.results import Outcome

STOCK = "stock Detectron2"


@pytest.fixture
def bench(tmp_path):
    return Bench("cpu", True, time.monotonic() + 600, tmp_path / "part.json")


@pytest.fixture
def one_model(monkeypatch):
    """Leave out the model whose path through the code is the shorter one."""
    for module in (backbones, gpu.import_module("benchmarks.gpu_parts.training")):
        monkeypatch.setattr(module, "RECIPES", {"ViT-g": detector_models.RECIPES["ViT-g"]})


@pytest.mark.usefixtures("one_model")
def test_backbones(bench):
    backbones.run(bench)
    rate, stock, *ours = bench.figures
    assert (rate.unit, stock.peer, stock.ratio) == ("TFLOP/s", "", None)
    names = [figure.name.removeprefix("ViT-g backbone, 64 px, ours with ") for figure in ours]
    kernels = ["sdpa", "chunked", "eager", "flex", "sdpa, compiled", "flex, compiled"]
    assert [name for name in names if name != "xformers"] == kernels
    assert all(figure.peer == STOCK and figure.ratio == figure.ours / stock.ours for figure in ours)
    assert all(figure.dtype == "bfloat16" and figure.rate_fraction > 0 for figure in ours)


@pytest.mark.usefixtures("one_model")
@pytest.mark.parametrize(
    ("part", "cases"),
    [
        ("training", [STOCK, "ours", "ours, compiled"]),
        ("classifiers", ["timm", "ours"] * 4 + ["timm's ViT, as many tokens", "ours"] * 2),
        ("clip", ["open_clip", "ours"] * 3),
    ],
)
def test_a_part_measures_every_case(part, cases, tmp_path):
    bench = gpu.run_part(part, tmp_path, tiny=True, seconds=600)
    assert bench.skipped == {}
    assert len(bench.figures) == len(cases)
    for figure, case in zip(bench.figures, cases, strict=True):
        assert figure.name.endswith(f", {case}")
        assert (figure.ratio is None) == (not case.startswith("ours"))
    saved = json.loads((tmp_path / f"{part}.json").read_text())
    assert [figure["name"] for figure in saved["figures"]] == [figure.name for figure in bench.figures]


def test_detectors(tmp_path):
    bench = gpu.run_part("detectors", tmp_path, tiny=True, seconds=600)
    assert bench.skipped == {}
    assert [figure.name.rpartition("px, ")[2] for figure in bench.figures] == [
        *["with stock Detectron2's ViT", "ours"] * 2,
        *["ours, compiled"] * 2,
    ]


def test_plans(tmp_path, monkeypatch):
    gpu.plans.write_predictions(tmp_path / gpu.PREDICTIONS, tiny=True)
    monkeypatch.setattr(gpu.plans, "_peak", lambda *_: 10**9)
    predicted = json.loads((tmp_path / gpu.PREDICTIONS).read_text())
    del predicted["classification"]
    (tmp_path / gpu.PREDICTIONS).write_text(json.dumps(predicted))
    bench = gpu.run_part("plans", tmp_path, tiny=True, seconds=600)
    assert [figure.error for figure in bench.figures] == [100 * (predicted["video, 2 parts"] / 10**9 - 1)]
    assert bench.skipped == {"classification": "the prediction was not finished or failed"}


def test_failures_are_named_and_the_others_are_measured(bench):
    def fail(error):
        raise error

    runs = {
        "peer": lambda: lambda: time.sleep(0.04),
        "large": lambda: fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB")),
        "missing": lambda: fail(ModuleNotFoundError("No module named 'xformers'", name="xformers")),
        "wrong": lambda: fail(RuntimeError("expected bfloat16\nmore")),
        "ours": lambda: lambda: time.sleep(0.02),
    }
    contenders.compare(bench, "case", "peer", runs, contenders.Amount(images=2))
    assert bench.skipped == {
        "case, large": "out of memory",
        "case, missing": "xformers is not installed",
        "case, wrong": "RuntimeError: expected bfloat16",
    }
    peer, ours = bench.figures
    assert (peer.name, ours.name, ours.peer, ours.unit) == ("case, peer", "case, ours", "peer", "images/s")
    assert ours.theirs == peer.ours
    assert peer.ours <= 2 / 0.04
    assert json.loads(bench.path.read_text())["skipped"] == bench.skipped


def test_what_runs_when_the_process_is_stopped_is_named(bench):
    seen = bench.attempt("case", lambda: json.loads(bench.path.read_text())["skipped"])
    assert seen == {"case": "stopped at the time limit"}
    assert bench.skipped == {}


def test_no_case_starts_after_the_deadline(bench):
    bench.deadline = time.monotonic() - 1
    assert bench.attempt("late", lambda: 1) is None
    assert bench.skipped == {"late": "no time left"}


def test_results_of_stopped_parts_are_reported(tmp_path, monkeypatch):
    part = {"figures": [{"name": "a step", "quantity": "speed", "unit": "images/s", "ours": 3.0}], "skipped": {}}
    code = (
        "import pathlib, sys, time; name, folder = sys.argv[1:]; path = pathlib.Path(folder, name + '.json');"
        f"path.write_text({json.dumps(json.dumps(part))}); name == 'clip' and time.sleep(60)"
    )
    monkeypatch.setattr(gpu, "_command", lambda name, output, *_: [sys.executable, "-c", code, name, output])
    monkeypatch.setattr(gpu, "GRACE", 0)
    assert gpu.run_parts(["tests", "clip"], tmp_path, True, 20) == 1
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert [(parts[name]["state"], parts[name]["figures"][0]["ours"]) for name in parts] == [
        ("finished", 3.0),
        ("not finished", 3.0),
    ]
    page = (tmp_path / "gpu.md").read_text()
    assert page.startswith("# Measured on no GPU")
    assert page.count("| a step: speed |  | 3.00 images/s |  |  |\n") == 2
    assert "**Not finished**: stopped after" in page


def test_a_failed_test_is_a_failed_part():
    figures = (Figure("tests marked cuda", "passed", "", 3),)
    finished = Outcome("finished", "", ())
    assert report.PartResult(finished, figures, {"tests/test_a.py::test_b": "the test failed"}).failed
    assert not report.PartResult(finished, figures, {"a case": "out of memory"}).failed


@pytest.mark.parametrize(
    ("last_line", "counts"),
    [
        ("8 passed, 2 skipped, 90 deselected in 3.10s", (8, 0, 2)),
        ("2 failed, 8 passed, 1 error in 3.10s", (8, 3, 0)),
        ("no tests ran in 0.10s", (0, 0, 0)),
    ],
)
def test_outcomes_of_tests_are_counted(last_line, counts):
    found = cuda_tests.count_outcomes(f"FAILED tests/test_a.py::test_b\n{last_line}\n")
    assert tuple(found[name] for name in ("passed", "failed", "skipped")) == counts


def test_without_a_gpu_the_command_explains_itself(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "there is no CUDA device; give --tiny to try the script" in capsys.readouterr().err


def test_operations_are_those_of_the_matrix_products():
    def build():
        return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 2))

    assert forward_operations(build, 5, 8) == 2 * 5 * (8 * 16 + 16 * 2)


def test_all_parts_take_less_than_four_minutes():
    assert gpu.SECONDS < 240
