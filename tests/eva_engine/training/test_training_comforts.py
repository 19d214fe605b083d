"""Early stopping, hooks of users, scaled learning rates and the range test, in runs of a small recipe."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.engine import HookBase
from rotation_recipe import PACKAGE, RECIPE, MeanLoss, rotation_recipe

from eva_backbone.errors import InputError
from eva_engine.config import load_config, save_config
from eva_engine.training.lr_range_test import lr_range_test, suggest
from eva_engine.training.run import prepare_run, train

ROOT = Path(__file__).parents[3]
STOPPING = ["train.validation_loss=True", "train.early_stopping.metric=validation/total_loss", "train.eval_period=2"]
TIMES = {"time", "data_time", "eta_seconds", "peak_memory_gib"}


class InterruptAt(HookBase):
    def __init__(self, iteration):
        self.iteration = iteration

    def before_step(self):
        if self.trainer.iter == self.iteration:
            raise KeyboardInterrupt


def metrics(folder):
    lines = map(json.loads, (folder / "metrics.json").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def state(folder, name="model_final"):
    return torch.load(folder / f"{name}.pth", weights_only=True)


def test_a_resumed_run_is_the_same_with_early_stopping_and_hooks(tmp_path):
    options = [*STOPPING, "train.max_iter=8", "train.checkpointer.period=3"]
    train(rotation_recipe(tmp_path / "whole", *options, hooks=[L(MeanLoss)(scale=2.0)]))
    run = prepare_run(rotation_recipe(tmp_path / "parts", *options, hooks=[L(MeanLoss)(scale=2.0)]))
    before_step = run.trainer.before_step
    run.trainer.before_step = lambda: (
        (_ for _ in ()).throw(KeyboardInterrupt) if run.trainer.iter == 5 else before_step()
    )
    with pytest.raises(KeyboardInterrupt):
        run.train()
    (tmp_path / "parts/model_0000004.pth").unlink()  # written at the interruption; the run goes back to iteration 3
    train(rotation_recipe(tmp_path / "parts", *options, hooks=[L(MeanLoss)(scale=2.0)]), resume=True)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert sum("validation/total_loss" in line for line in metrics(tmp_path / "whole")) == 4
    assert metrics(tmp_path / "whole")[-2]["mean_loss"] > 0
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert whole["best"] == parts["best"]
    assert whole["hooks"] == parts["hooks"] == {"0": {"sum": whole["hooks"]["0"]["sum"], "number": 8}}
    assert all(torch.equal(value, parts["model"][name]) for name, value in whole["model"].items())
    # Neither validation losses nor hooks change the training.
    train(rotation_recipe(tmp_path / "without", "train.max_iter=8", "dataloader.evaluator=null"))
    assert all(torch.equal(value, whole["model"][name]) for name, value in state(tmp_path / "without")["model"].items())


def test_early_stopping_keeps_the_best_checkpoint_and_stays_stopped(tmp_path, caplog):
    caplog.set_level("INFO")
    options = [*STOPPING, "train.early_stopping.patience=2", "train.early_stopping.min_delta=100", "train.max_iter=20"]
    train(rotation_recipe(tmp_path, *options))
    assert "Early stopping after 6 iterations: no progress of validation/total_loss in 2 evaluations" in caplog.text
    assert state(tmp_path, "model_0000005")["best"]["num_without_progress"] == 2
    values = {
        line["iteration"]: line["validation/total_loss"] for line in metrics(tmp_path) if "total_loss" not in line
    }
    best = min(values, key=values.get)
    assert state(tmp_path, "model_best")["iteration"] == best
    lines = metrics(tmp_path)
    train(rotation_recipe(tmp_path, *options), resume=True)
    assert metrics(tmp_path) == lines
    train(rotation_recipe(tmp_path, *options, "train.early_stopping.patience=3"), resume=True)
    assert metrics(tmp_path)[-1]["iteration"] == 7


def test_all_processes_stop_together(tmp_path):
    options = [*STOPPING, "train.early_stopping.patience=1", "train.early_stopping.min_delta=100", "train.max_iter=20"]
    command = [sys.executable, "-W", "ignore", "-m", "tools", "train", "--config-file", str(RECIPE), "--num-gpus", "2"]
    ended = subprocess.run(
        [*command, "--dist-url", "auto", *options, f"train.output_dir={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{PACKAGE}:{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Early stopping after 4 iterations" in ended.stdout
    assert state(tmp_path, "model_0000003")["best"]["iteration"] == 3


def test_hooks_must_be_hooks_and_trusted(tmp_path):
    with pytest.raises(InputError, match=r"train\.hooks\.0 is a dict, but must be a detectron2\.engine\.HookBase"):
        train(rotation_recipe(tmp_path / "run", hooks=[{"_target_": "builtins.dict", "a": 1}]))
    saved = tmp_path / "config.yaml"
    save_config(rotation_recipe(tmp_path, hooks=[L(MeanLoss)(scale=1.0)]), saved)
    with pytest.raises(InputError, match=r"names rotation_recipe\.MeanLoss as train\.hooks\.0\._target_"):
        load_config(str(saved))
    recipe = tmp_path / "mine.py"
    text = f"from rotation_recipe import MeanLoss\nfrom detectron2.config import LazyCall as L\n{RECIPE.read_text()}"
    recipe.write_text(f"{text}\ntrain.hooks = [L(MeanLoss)(scale=3.0)]\n")
    assert load_config(str(saved), trusted_recipes=[str(recipe)]).train.hooks[0].scale == 1.0
    assert load_config(str(recipe), ["train.hooks.0.scale=4.0"]).train.hooks[0].scale == 4.0
    with pytest.raises(InputError, match=r"train\.hooks\.0 has scales"):
        load_config(str(recipe), ["train.hooks=[{_target_: rotation_recipe.MeanLoss, scales: 1.0}]"])


def test_learning_rates_follow_the_batch(tmp_path):
    def rates(*overrides):
        run = prepare_run(rotation_recipe(tmp_path / str(len(overrides)), *overrides))
        return [group["lr"] for group in run.trainer.optimizer.param_groups]

    assert rates("train.lr_batch_size=64", "dataloader.train.total_batch_size=16") == pytest.approx(
        [rate / 4 for rate in rates()]
    )


def test_range_test_suggests_a_rate_and_keeps_nothing(tmp_path, caplog):
    caplog.set_level("INFO")
    lr_range_test(rotation_recipe(tmp_path / "temporary"), 30, str(tmp_path / "run"))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["lr_range_test.json", "lr_range_test.svg"]
    found = json.loads((tmp_path / "run/lr_range_test.json").read_text())
    assert found["lr"][0] == pytest.approx(3e-3 * 1e-3)
    assert found["lr"][0] < found["suggestion"] < found["lr"][-1]
    assert f"suggestion: optimizer.lr={found['suggestion']:.2g} (plot" in caplog.text
    assert not list((tmp_path / "temporary").glob("model*"))


def test_suggestion_is_the_steepest_fall_before_the_minimum():
    rates = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert suggest(rates, [3.0, 2.9, 2.0, 1.8, 9.0]) == (1e-4, 1e-2)
    assert suggest(rates, [3.0, 3.1, 3.2, 4.0, 9.0]) is None
    assert suggest([], []) is None
