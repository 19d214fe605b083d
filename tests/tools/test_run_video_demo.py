"""The video demo from end to end, for two iterations."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("run_video_demo", ROOT / "tools/run_video_demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_iterations_give_weights_results_and_page(demo, tmp_path, capsys):
    output = tmp_path / "demo"
    output.mkdir()
    (output / "metrics.json").write_text("left by an earlier run")
    (output / "notes.txt").write_text("the user's own")
    assert demo.main(["--output", str(output), "--iterations", "2"]) == 0
    printed = capsys.readouterr().out
    assert "holds an earlier run, which is replaced" in printed
    accuracy = json.loads((output / "results.json").read_text())["accuracy"]["top1"]
    assert f"{accuracy:.1f}% of 96 held-out samples are right; guessing gives 16.7%" in printed
    assert printed.rstrip().endswith(str(output / "index.html"))
    assert "reversed 4x" in (output / "index.html").read_text(encoding="utf-8")
    assert (output / "model_final.pth").is_file()
    assert (output / "notes.txt").read_text() == "the user's own"


@pytest.mark.parametrize(("top1", "sentence"), [(30.0, "is more than chance"), (20.0, "is not more than chance")])
def test_the_verdict_follows_the_figures(demo, top1, sentence):
    assert sentence in demo.verdict(top1, 6, 96)


def test_no_iterations_are_refused_before_anything_is_removed(demo, tmp_path, capsys):
    (tmp_path / "index.html").write_text("x")
    assert demo.main(["--output", str(tmp_path), "--iterations", "0"]) == 2
    assert "--iterations 0" in capsys.readouterr().err
    assert (tmp_path / "index.html").exists()
