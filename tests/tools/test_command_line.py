"""The training command before and beside a run: recipes, devices, which weights are evaluated."""

import runpy

import pytest
import torch
from detectron2.data import DatasetCatalog
from tiny_run import CONFIGS

from detectron2_ext.engine.command_line import main


def test_script_runs_the_training_command(monkeypatch, capsys):
    script = str(CONFIGS.parents[2] / "tools" / "lazyconfig_train_net.py")
    monkeypatch.setattr("sys.argv", [script])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(script, run_name="__main__")
    assert "no config file was given" in capsys.readouterr().err


def test_recipe_is_executed_once(tmp_path, capsys):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from detectron2.data import DatasetCatalog\nDatasetCatalog.register('by_a_recipe', list)\ndataloader = {}\n"
    )
    assert main(["--config-file", str(recipe), "--eval-only"]) == 2
    DatasetCatalog.remove("by_a_recipe")
    assert "--eval-only was given without weights" in capsys.readouterr().err


def test_weights_that_the_run_measured_are_evaluated(tmp_path, monkeypatch):
    weights = {name: {"weight": torch.full((1, 1), value)} for name, value in (("model", 1.0), ("ema", 2.0))}
    torch.save(weights, tmp_path / "model_0000001.pth")
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from detectron2.config import LazyCall as L\nfrom torch import nn\n"
        "model = L(nn.Linear)(in_features=1, out_features=1, bias=False)\n"
        "dataloader = dict(evaluator='one')\ntrain = dict(ema=dict(evaluate=True))\n"
    )
    measured = []
    monkeypatch.setattr("detectron2_ext.engine.command_line.evaluate", lambda _, model: measured.append(model.weight))
    overrides = [f"train.init_checkpoint={tmp_path}/model_0000001.pth", f"train.output_dir={tmp_path}/evaluation"]
    assert main(["--config-file", str(recipe), "--eval-only", *overrides]) == 0
    assert measured == [2.0]


def test_fewer_gpus_than_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert main(["--config-file", str(CONFIGS / "COCO/cascade_mask_rcnn_vitdet_eva.py"), "--num-gpus", "8"]) == 2
    assert "--num-gpus 8 was given, but this machine has 2; use --num-gpus 2" in capsys.readouterr().err
