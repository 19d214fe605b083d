"""The video demo from end to end, for two iterations."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from eva_demos.video import demo

ROOT = Path(__file__).parents[3]


def test_two_iterations_give_weights_results_and_page(tmp_path, capsys):
    output = tmp_path / "demo"
    output.mkdir()
    (output / "metrics.json").write_text("left by an earlier run")
    (output / "notes.txt").write_text("the user's own")
    assert demo.main(["--output", str(output), "--iterations", "2"]) == 0
    printed = capsys.readouterr().out
    assert "contains the results of an earlier run, which are replaced" in printed
    accuracy = json.loads((output / "results.json").read_text())["accuracy"]["top1"]
    assert f"{accuracy:.1f}% of 60 held-out samples are right; guessing gives 16.7%" in printed
    assert "of 60 held-out directions are right; guessing gives 50.0%" in printed
    assert "of 60 held-out speeds are right; guessing gives 33.3%" in printed
    assert printed.rstrip().endswith(str(output / "index.html"))
    page = (output / "index.html").read_text(encoding="utf-8")
    assert page.count('alt="Ground truth of') == page.count('alt="Prediction for') == 6
    assert "Worst videos" in page
    assert re.search(
        "carphone_pristine.mp4 from frame 64, (forward|reversed) .x; predicted (forward|reversed) .x", page
    )
    assert (output / "model_final.pth").is_file()
    assert (output / "notes.txt").read_text() == "the user's own"


def test_the_verdict_follows_the_predictions():
    """48 samples: all directions are right; speeds are right for the first half, the others are predicted as 1x."""
    labels = list(range(6)) * 8
    predicted = [label if number < 24 else label - label % 3 for number, label in enumerate(labels)]
    class_, direction, speed = demo.verdict(np.eye(6)[predicted], labels)
    assert class_.startswith("66.7% of 48 held-out samples are right; guessing gives 16.7%")
    assert direction.startswith("100.0% of 48 held-out directions are right; guessing gives 50.0%")
    assert speed.startswith("66.7% of 48 held-out speeds are right; guessing gives 33.3%")
    assert all("is more than chance can make" in line for line in (class_, direction, speed))


def test_guesses_are_reported_as_chance():
    labels = list(range(6)) * 8
    class_, direction, speed = demo.verdict(np.eye(6)[[0] * 48], labels)
    assert [line.split(" of ")[0] for line in (class_, direction, speed)] == ["16.7%", "50.0%", "33.3%"]
    assert "is not more than chance can make (10.8 points)" in class_
    assert "is not more than chance can make (14.4 points)" in direction
    assert "is not more than chance can make (13.6 points)" in speed


def test_probabilities_of_direction_and_speed_are_sums_over_classes():
    """The most likely class is forward 2x, but the most likely direction is reversed and the most likely speed 4x."""
    scores = np.array([[0.0, 0.3, 0.15, 0.2, 0.05, 0.3 - 1e-6]])
    class_, direction, speed = demo.verdict(scores, [5])
    assert [line.split("%")[0] for line in (class_, direction, speed)] == ["0.0", "100.0", "100.0"]


def test_no_iterations_are_refused_before_anything_is_removed(tmp_path, capsys):
    (tmp_path / "index.html").write_text("x")
    with pytest.raises(SystemExit):
        demo.main(["--output", str(tmp_path), "--iterations", "0"])
    assert "--iterations: invalid positive number value: '0'" in capsys.readouterr().err
    assert (tmp_path / "index.html").exists()
