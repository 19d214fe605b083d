"""A sweep with optuna: trials are runs of train, and the sweep continues where it stopped."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from eva_backbone.errors import InputError
from eva_engine.commands.train import main as train
from tools import sweep

PACKAGE = Path(__file__).parents[1] / "eva_engine/sixth_task"
RECIPE = PACKAGE / "rotation_task/recipes/rotation.py"
SEARCHED = ["optimizer.lr=tag(log, interval(1e-4, 1e-2))", "dataloader.train.total_batch_size=choice(4, 8)"]


@pytest.fixture
def runs(monkeypatch):
    """Trials run in this process, and their commands are recorded."""
    commands = []

    def run(command):
        commands.append(command)
        assert command[:4] == [sys.executable, "-m", "tools", "train"]
        return train(command[4:])

    monkeypatch.setattr(sweep, "_train", run)
    monkeypatch.syspath_prepend(str(PACKAGE))
    return commands


def arguments(folder, trials, *more):
    options = ["--config-file", str(RECIPE), "--metric", "validation/total_loss", "--trials", str(trials)]
    return [*options, "--output", str(folder), *SEARCHED, "train.max_iter=2", "train.validation_loss=True", *more]


def test_two_trials_and_a_third_one_later(runs, tmp_path, capsys):
    assert sweep.main(arguments(tmp_path, 2, "--", "--num-gpus", "1")) == 0
    assert len(runs) == 2
    drawn = [{text.partition("=")[0]: text.partition("=")[2] for text in command if "=" in text} for command in runs]
    assert all(1e-4 <= float(values["optimizer.lr"]) <= 1e-2 for values in drawn)
    assert all(values["dataloader.train.total_batch_size"] in ("4", "8") for values in drawn)
    assert drawn[0]["optimizer.lr"] != drawn[1]["optimizer.lr"]
    assert "--num-gpus" in runs[0]
    assert (tmp_path / "trial_001/model_final.pth").is_file()
    best = capsys.readouterr().out.splitlines()[-2:]
    assert best[0].startswith("best of 2 trials: validation/total_loss ")
    assert (
        f"optimizer.lr={drawn[0]['optimizer.lr']}" in best[1] or f"optimizer.lr={drawn[1]['optimizer.lr']}" in best[1]
    )
    assert sweep.main(arguments(tmp_path, 3, "--", "--num-gpus", "1")) == 0
    assert len(runs) == 3
    assert "best of 3 trials" in capsys.readouterr().out


@pytest.mark.usefixtures("runs")
def test_a_wrong_command_stops_at_the_first_trial(tmp_path, capsys):
    assert sweep.main(arguments(tmp_path, 2, "train.max_itr=3")) == 2
    assert "the first trial ended with status 2" in capsys.readouterr().err
    assert sweep.main(["--config-file", "a.py", "--metric", "a", "--output", str(tmp_path), "b=1"]) == 2
    assert "nothing is searched" in capsys.readouterr().err


def test_kinds_of_values():
    drawn = {}

    class Trial:
        def suggest_int(self, *values, **options):
            drawn["int"] = (*values, options)

        def suggest_float(self, *values, **options):
            drawn["float"] = (*values, options)

        def suggest_categorical(self, *values):
            drawn["choice"] = values

    for text in ("a.b=int(interval(1, 5))", "a.c=tag(log, interval(1e-3, 1))", "a.d=choice(a, 'x y', 3)"):
        sweep._parse(text)(Trial())
    assert drawn["int"] == ("a.b", 1, 5, {"log": False})
    assert drawn["float"] == ("a.c", 1e-3, 1, {"log": True})
    assert drawn["choice"] == ("a.d", ["a", "x\\ y", "3"])
    assert sweep._parse("a.b=3") is None
    with pytest.raises(InputError, match="cannot be parsed"):
        sweep._parse("a.b=choice(")
