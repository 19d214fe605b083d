"""What macOS and Windows lack is not used there: commands run without it, and Apple's GPU is found.

This replaces no run on these systems. It shows that no module of the project needs a name that they do not have.
"""

import os
import subprocess
import sys
from pathlib import Path

import torch

from eva_engine.prediction.trained_model import pick_device

ROOT = Path(__file__).parents[1]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", Path(__file__).with_name("without_unix.py"), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_training_and_prediction_run_without_the_names_of_unix(tmp_path):
    digits, run_folder = tmp_path / "digits", tmp_path / "run"
    short = ("train.max_iter=2", "lr_multiplier.warmup_iters=1", "train.eval_period=2")
    frequent = ("train.log_period=1", "dataloader.train.total_batch_size=4")
    recipe = "projects/Classification/configs/demo/mnist_scratch.py"
    trained = run(
        *("train", "--config-file", recipe, "--num-gpus", 1, "train.device=cpu", f"train.output_dir={run_folder}"),
        *(f"dataloader.test.dataset.folder={digits}", *short, *frequent),
    )
    assert trained.returncode == 0, trained.stderr
    assert "2/2  eta" in trained.stderr + trained.stdout
    assert "GiB" not in trained.stderr + trained.stdout  # the memory of the process is not known there

    images = sorted(digits.rglob("*.png"))[:2]
    predicted = run("predict", "--weights", run_folder, "--input", *images, "--output", tmp_path / "classes")
    assert predicted.returncode == 0, predicted.stderr
    assert "images: 2" in predicted.stdout
    assert len((tmp_path / "classes" / "classes.jsonl").read_text().splitlines()) == 2


def test_apples_gpu_is_used_if_there_is_no_cuda_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")
