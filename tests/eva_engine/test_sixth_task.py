"""A package adds a task to an installed EVA Vision without a change in it: all verbs work on its models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PACKAGE = Path(__file__).parent / "sixth_task"  # with its metadata, as if it were installed
RECIPE = str(PACKAGE / "rotation_task/recipes/rotation.py")


def run(*arguments: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(PACKAGE), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "tools", *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rotation")
    run("train", "--config-file", RECIPE, f"train.output_dir={folder}")
    return folder


def test_its_verbs_and_options_are_listed():
    assert "count-rotations" in run().stdout
    help_text = run("predict", "--help").stdout
    assert "rotation: the angle of each image" in help_text
    assert "--radians" in help_text


def test_it_trains_evaluates_and_logs(trained):
    assert json.loads((trained / "results.json").read_text())["rotation"]["accuracy"] == 100
    assert (trained / "index.html").is_file()
    assert "rotation_task." not in (trained / "log.txt").read_text().partition("Environment")[0]
    weights = f"train.init_checkpoint={trained}/model_final.pth"
    ended = run("evaluate", "--config-file", RECIPE, weights, f"train.output_dir={trained}/evaluation")
    assert "100.0" in ended.stdout


def test_it_predicts_on_files(trained, tmp_path):
    images, output = tmp_path / "images", tmp_path / "output"
    images.mkdir()
    gradient = np.tile(np.linspace(0, 255, 60, dtype=np.uint8)[None, :, None], (60, 1, 3))
    for turns in range(4):
        Image.fromarray(np.rot90(gradient, turns)).save(images / f"{turns}.png")
    weights = str(trained / "model_final.pth")
    run("predict", "--config-file", RECIPE, "--weights", weights, "--input", str(images), "--output", str(output))
    angles = [json.loads(line)["angle"] for line in (output / "angles.jsonl").read_text().splitlines()]
    assert angles == [0, 90, 180, 270]
    assert run("count-rotations", str(output / "angles.jsonl")).stdout == "0: 1\n90: 1\n180: 1\n270: 1\n"


def test_its_recipe_may_be_named_by_a_saved_run(trained, tmp_path):
    config, weights = str(trained / "config.yaml"), f"train.init_checkpoint={trained}/model_final.pth"
    assert "python/name:rotation_task.data.read_gradient" in Path(config).read_text()
    ended = run("evaluate", "--config-file", config, weights, f"train.output_dir={tmp_path}")
    assert "100.0" in ended.stdout


def test_its_memory_is_planned():
    assert "16 image(s) of 28 x 28 pixels at a time" in run("plan", "--config-file", RECIPE).stdout


def test_its_weights_are_identified(trained):
    ended = run("inspect", str(trained / "model_final.pth"), "--config-file", RECIPE)
    assert "model: rotation of images, a ViT of width 32, depth 2" in ended.stdout
    assert "exactly this model" in ended.stdout
