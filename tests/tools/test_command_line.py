"""The training command around a run: recipes, devices, evaluated weights, the log."""

import logging
import runpy

import pytest
import torch
from detectron2.data import DatasetCatalog
from tiny_run import CONFIGS
from torch.multiprocessing import ProcessRaisedException

from eva_engine.commands.train import main
from eva_engine.training.run_log import start_log


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


def test_the_average_is_evaluated_if_the_run_evaluated_it(tmp_path, monkeypatch):
    weights = {name: {"weight": torch.full((1, 1), value)} for name, value in (("model", 1.0), ("ema", 2.0))}
    torch.save(weights, tmp_path / "model_0000001.pth")
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from detectron2.config import LazyCall as L\nfrom torch import nn\n"
        "model = L(nn.Linear)(in_features=1, out_features=1, bias=False)\n"
        "dataloader = dict(evaluator='one')\ntrain = dict(ema=dict(evaluate=True))\n"
    )
    measured = []
    monkeypatch.setattr("eva_engine.training.evaluation.evaluate", lambda _, model: measured.append(model.weight))
    overrides = [f"train.init_checkpoint={tmp_path}/model_0000001.pth", f"train.output_dir={tmp_path}/evaluation"]
    assert main(["--config-file", str(recipe), "--eval-only", *overrides]) == 0
    assert measured == [2.0]


def test_fewer_gpus_than_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert main(["--config-file", str(CONFIGS / "COCO/cascade_mask_rcnn_vitdet_eva.py"), "--num-gpus", "8"]) == 2
    assert "--num-gpus 8 was given, but this machine has 2; use --num-gpus 2" in capsys.readouterr().err


RECIPE = """
from detectron2.config import LazyCall as L
from torch import nn
model = L(nn.Linear)(in_features=1, out_features=1)
dataloader = dict(evaluator="one")
optimizer, lr_multiplier = {}, {}
"""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train.device=gpu"], "train.device=gpu is not a device; give cuda or cpu"),
        (["train.output_dir=recipe.py"], "train.output_dir=recipe.py cannot be written (File exists)"),
        (["train.output_dir=recipe.py/below"], "train.output_dir=recipe.py/below cannot be written (Not a directory)"),
        (["--machine-rank", "1"], "--machine-rank 1 is out of range for --num-machines 1; count from 0"),
        (["--num-machines", "0"], "--machine-rank 0 is out of range for --num-machines 0; count from 0"),
        (
            ["--num-gpus", "2", "--dist-url", "host:1", "train.device=cpu"],
            "--dist-url host:1 is not an address; give tcp://",
        ),
        (["train.max_iter=1", "--eval-only"], "--eval-only was given without weights"),
    ],
)
def test_unusable_command_is_refused(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.py").write_text(RECIPE)
    assert main([*arguments, "--config-file", "recipe.py"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_port_of_another_run_is_reported(tmp_path, monkeypatch, capsys):
    (tmp_path / "recipe.py").write_text(RECIPE)

    def fail(*_args, **_keywords):
        raise ProcessRaisedException("DistNetworkError: ... EADDRINUSE, address already in use", 0, 1)

    monkeypatch.setattr("eva_engine.training.launched_run.launch", fail)
    assert main(["--config-file", f"{tmp_path}/recipe.py", "--dist-url", "tcp://127.0.0.1:5"]) == 2
    assert capsys.readouterr().err == (
        "error: another run already uses --dist-url tcp://127.0.0.1:5; give this one another port\n"
    )


def test_random_parameters_are_not_evaluated(tmp_path, capsys):
    (tmp_path / "recipe.py").write_text(RECIPE)
    torch.save({"weight": torch.ones(1, 1)}, tmp_path / "without_bias.pth")
    changes = [f"train.init_checkpoint={tmp_path}/without_bias.pth", f"train.output_dir={tmp_path}/evaluation"]
    assert main(["--config-file", f"{tmp_path}/recipe.py", "--eval-only", *changes]) == 2
    assert "has no values for 1 parameters of the model (bias, ...)" in capsys.readouterr().err


def test_failed_resume_leaves_the_recipe_of_the_run(tmp_path, capsys):
    recipe = CONFIGS.parents[1] / "Classification" / "configs" / "demo" / "mnist_scratch.py"
    torch.save({"model": {"weight": torch.zeros(1)}, "iteration": 4, "seed": 1}, tmp_path / "model_0000004.pth")
    (tmp_path / "config.yaml").write_text("of the run")
    command = ["--config-file", str(recipe), "--resume", f"train.output_dir={tmp_path}"]
    assert main([*command, f"dataloader.test.dataset.folder={tmp_path}/digits"]) == 2
    assert (tmp_path / "config.yaml").read_text() == "of the run"
    assert "is not a checkpoint that a run can" in capsys.readouterr().err


def test_run_continues_when_nobody_reads_the_terminal(tmp_path, monkeypatch, capsys):
    class Closed:
        def write(self, _text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    start_log(str(tmp_path))
    for text in ("first", "second"):
        logging.getLogger("detectron2_ext").info(text)
    assert [line.split()[-1] for line in (tmp_path / "log.txt").read_text().splitlines()] == ["first", "second"]
    assert capsys.readouterr().err == ""


def test_interrupted_command_says_so(monkeypatch, capsys):
    def interrupt(_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("eva_engine.training.launched_run.launch_run", interrupt)
    assert main(["--config-file", str(CONFIGS / "COCO/cascade_mask_rcnn_vitdet_eva.py")]) == 130
    assert capsys.readouterr().err == "interrupted\n"
