"""Commands with a published name, or the folder of a run, in the place of a file; without a recipe."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from loopback_hub import Hub
from PIL import Image
from published_rotation import FILE, SIXTH_TASK, weight_file

from eva_backbone.errors import InputError
from eva_engine.checkpoint import read_weights
from eva_engine.commands import export_weights, inspect_weights, predict, train, weights
from eva_engine.config import load_config, save_config
from eva_engine.inspection.recipe_choice import choose_recipe
from eva_engine.published_weights.table import PublishedFile
from eva_engine.published_weights.weight_path import weight_path
from eva_engine.recipe_files import RecipeFile

ROOT = Path(__file__).parents[3]
NAME = "rotation_tiny"
RECIPE = SIXTH_TASK / "rotation_task/recipes/rotation.py"


@pytest.fixture
def photo(tmp_path: Path) -> str:
    file = tmp_path / "photo.png"
    Image.fromarray(np.tile(np.linspace(0, 255, 60, dtype=np.uint8)[None, :, None], (60, 1, 3))).save(file)
    return str(file)


@pytest.fixture
def run_folder(sixth_task: Path, tmp_path: Path) -> Path:
    """A run as training leaves it, that was moved after its end; its best checkpoint is not the last one."""
    folder = tmp_path / "run"
    folder.mkdir()
    cfg = load_config(str(sixth_task), [f"train.output_dir={tmp_path}/before_the_move"])
    save_config(cfg, folder / "config.yaml")
    for name in ("model_0000009.pth", "model_final.pth", "model_best.pth"):
        model = instantiate(cfg.model)
        torch.nn.init.constant_(model.head.bias, len(name))
        torch.save({"model": model.state_dict()}, folder / name)
    (folder / "last_checkpoint").write_text("model_final.pth")
    return folder


@pytest.mark.usefixtures("hub")
def test_predict_by_name(photo, capsys):
    assert predict.main(["--weights", NAME, "--input", photo, "--output", "out"]) == 0
    assert f"recipe: {RECIPE}" in capsys.readouterr().err
    assert json.loads(Path("out/angles.jsonl").read_text())["angle"] in (0, 90, 180, 270)


def test_nothing_is_downloaded_if_there_is_nothing_to_do(hub: Hub):
    assert predict.main(["--weights", NAME, "--input", "missing.png", "--output", "out"]) == 2
    assert hub.requests == []


@pytest.mark.usefixtures("hub")
def test_evaluate_by_name(capsys):
    assert train.main(["--eval-only", "--weights", NAME, "train.output_dir=out"]) == 0
    assert f"recipe: {RECIPE}" in capsys.readouterr().err
    assert "rotation" in json.loads(Path("out/results.json").read_text())
    assert load_config("out/config.yaml").train.init_checkpoint == NAME


def test_train_by_name(hub: Hub):
    arguments = ["--config-file", str(RECIPE), f"train.init_checkpoint={NAME}", "train.output_dir=out"]
    assert train.main([*arguments, "train.max_iter=1"]) == 0
    assert re.search(f"{NAME}: \\d+ entries used", Path("out/log.txt").read_text())
    assert hub.requests.count("GET") == 1


@pytest.mark.usefixtures("hub")
def test_other_commands_by_name(capsys):
    assert export_weights.main([NAME, "exported.pth"]) == 0
    assert inspect_weights.main([NAME, "--config-file", str(RECIPE)]) == 0
    assert "exactly this model" in capsys.readouterr().out
    exported = read_weights("exported.pth")
    assert all(torch.equal(exported[name], value) for name, value in read_weights(NAME).items())


def test_predict_with_a_run(run_folder, photo, capsys, monkeypatch):
    monkeypatch.chdir(run_folder.parent)
    assert predict.main(["--weights", "run", "--input", photo, "--output", "out"]) == 0
    assert "recipe: run/config.yaml" in capsys.readouterr().err
    assert (read_weights("run")["head.bias"] == len("model_best.pth")).all()


def test_evaluate_a_run(run_folder, monkeypatch):
    """The results of training stay, and nothing is written where the run was before it was moved."""
    monkeypatch.chdir(run_folder.parent)
    assert train.main(["--eval-only", "--weights", "run/"]) == 0
    assert Path("run_evaluation/results.json").is_file()
    assert "evaluate --config-file" in Path("run_evaluation/index.html").read_text()
    assert not Path("run/results.json").exists()
    assert not Path("before_the_move").exists()


def test_evaluate_the_run_in_the_working_folder(run_folder, monkeypatch):
    monkeypatch.chdir(run_folder)
    assert train.main(["--eval-only", "--weights", "."]) == 0
    assert Path("../run_evaluation/results.json").is_file()


def test_empty_name(run_folder, photo, capsys, monkeypatch):
    """It is not the run in the working folder."""
    monkeypatch.chdir(run_folder)
    assert predict.main(["--weights", "", "--input", photo]) == 2
    assert "the name of the weights is empty" in capsys.readouterr().err


def test_paths_are_not_names(hub: Hub):
    """A path that does not exist is not downloaded, even if its last part is a published name."""
    for path in (f"./{NAME}", f"{NAME}/", f"runs/{NAME}"):
        with pytest.raises(InputError, match="does not exist or is not a regular file"):
            read_weights(path)
    assert hub.requests == []


@pytest.mark.usefixtures("hub")
def test_overlong_name(photo, capsys):
    assert predict.main(["--weights", "a" * 300, "--input", photo]) == 2
    assert "aaa is neither a file nor the name of published weights" in capsys.readouterr().err
    assert predict.main(["--weights", "a" * 300 + ".pth", "--input", photo]) == 2
    assert "aaa.pth does not exist" in capsys.readouterr().err


def test_checkpoint_of_a_run(run_folder):
    assert weight_path(run_folder) == run_folder / "model_best.pth"
    (run_folder / "model_best.pth").unlink()
    assert weight_path(run_folder) == run_folder / "model_final.pth"
    (run_folder / "last_checkpoint").unlink()
    assert weight_path(run_folder) == run_folder / "model_0000009.pth"


def test_run_without_config_or_checkpoints(run_folder, tmp_path):
    (run_folder / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"run has no config\.yaml, in which a run stores its recipe; give one with"):
        choose_recipe(str(run_folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty is a folder; name the weight file inside it"):
        choose_recipe(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\xff\xfe", "its last_checkpoint does not name one"),
        (b"../../../../etc/passwd", "its last_checkpoint names passwd, which is not in it"),
        (b"model_0000019.pth\n", "its last_checkpoint names model_0000019.pth, which is not in it"),
    ],
)
def test_a_run_whose_checkpoint_cannot_be_found(run_folder, photo, capsys, content, fault):
    for file in run_folder.glob("model_*"):
        file.unlink()
    (run_folder / "last_checkpoint").write_bytes(content)
    assert predict.main(["--weights", str(run_folder), "--input", photo]) == 2
    advice = "name a weight file, or the folder of another run."
    assert capsys.readouterr().err == f"error: no checkpoint can be found in {run_folder}: {fault}; {advice}\n"


def test_config_of_a_run_is_data(run_folder, photo, capsys):
    """What it names is not imported unless a recipe uses it."""
    file = run_folder / "config.yaml"
    file.write_text(file.read_text().replace("rotation_task.model.RotationModel", "os.system"))
    assert predict.main(["--weights", str(run_folder), "--input", photo]) == 2
    assert (
        "config.yaml names os.system as model._target_, which no recipe of this version uses" in capsys.readouterr().err
    )


@pytest.mark.usefixtures("sixth_task")
def test_recipe_of_a_plain_file(tmp_path, monkeypatch):
    monkeypatch.setattr("eva_engine.inspection.identify.find_recipes", lambda **_: [recipe()])
    file = tmp_path / "unknown.pth"
    file.write_bytes(weight_file(32))
    assert choose_recipe(str(file)).file == RECIPE
    file.write_bytes(weight_file(16))
    with pytest.raises(InputError, match=r"no recipe has the model of .*unknown.pth; give one with --config-file"):
        choose_recipe(str(file))


def recipe(name: str = str(RECIPE)):
    from eva_engine.inspection.recipes import Recipe

    return Recipe(name, load_config(str(RECIPE)), RecipeFile(name, RECIPE, RECIPE.read_text()))


@pytest.mark.usefixtures("sixth_task")
def test_several_recipes_of_a_plain_file(tmp_path, monkeypatch):
    recipes = [recipe("a/first.py"), recipe("b/second.py")]
    monkeypatch.setattr("eva_engine.inspection.identify.find_recipes", lambda **_: recipes)
    file = tmp_path / "unknown.pth"
    file.write_bytes(weight_file(32))
    with pytest.raises(InputError, match=r"fits 2 recipes, a/first.py, b/second.py; give one with --config-file"):
        choose_recipe(str(file))
    del recipes[1].cfg.published  # the other one is that of a published result
    assert choose_recipe(str(file)).path == "a/first.py"


def test_name_with_several_recipes_or_none(monkeypatch):
    two = [RecipeFile(path, Path(path), "") for path in ("a/one.py", "b/two.py")]
    published = PublishedFile("weights/some.pth", "example/some", "MIT")
    monkeypatch.setattr("eva_engine.inspection.recipe_choice.published_name", lambda _: published)
    monkeypatch.setattr(PublishedFile, "_recipes", lambda _, use: two if use == "evaluate" else [])
    with pytest.raises(InputError, match=r"some is evaluated by 2 recipes, a/one.py, b/two.py; give one with"):
        choose_recipe("some")
    published = PublishedFile("weights/some.pth", "example/some", "MIT")
    monkeypatch.setattr(PublishedFile, "_recipes", lambda _, use: two if use == "init" else [])
    with pytest.raises(InputError, match=r"no recipe evaluates some, it is the start of training with a/one.py, b/two"):
        choose_recipe("some")
    published = PublishedFile("weights/some.pth", "example/some", "MIT")
    monkeypatch.setattr(PublishedFile, "_recipes", lambda *_: [])
    with pytest.raises(InputError, match=r"^no recipe uses some; give one with --config-file"):
        choose_recipe("some")


def test_weights_are_listed_downloaded_and_verified(hub: Hub, capsys):
    assert weights.main([]) == 0
    listed = capsys.readouterr().out
    assert f"https://huggingface.co/example/rotation, licence MIT:\n  {NAME}" in listed
    assert len(listed.splitlines()) == 4 + 67
    assert weights.main(["verify"]) == 0
    assert capsys.readouterr().out == "no published file is in the cache\n"
    assert weights.main(["verify", NAME]) == 1
    with pytest.raises(SystemExit):
        weights.main(["download"])
    assert "download needs one or more names" in capsys.readouterr().err
    assert weights.main(["download", NAME]) == 0
    assert weights.main(["list", NAME]) == 0
    assert "cached    60 kB" in capsys.readouterr().out
    assert weights.main(["verify"]) == 0
    assert f"{NAME}: SHA-256, names and shapes are right" in capsys.readouterr().out
    path = weight_path(NAME).resolve()
    path.write_bytes(hub.files[FILE][:-1] + b"x")
    assert weights.main(["verify"]) == 2
    assert f"error: {NAME}: its SHA-256 is " in capsys.readouterr().err
    assert weights.main(["verify"]) == 0  # it is not in the cache any more
    assert weights.main(["download", NAME, "rotation_tyni"]) == 2
    assert "did you mean rotation_tiny?" in capsys.readouterr().err
    assert weight_path(NAME).read_bytes() == hub.files[FILE]


def test_variables_of_the_hub(hub: Hub, photo, tmp_path):
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE in processes of their own, with a progress bar."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SIXTH_TASK), str(ROOT)]), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-W", "ignore", "-m", "tools", *arguments]
        return subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=False)

    offline = run("weights", "download", NAME, HF_HUB_OFFLINE="1")
    assert offline.returncode == 2
    folder = tmp_path / "cache/hub/models--example--rotation"
    assert offline.stderr.startswith(f"error: {NAME} is not in {folder}, and HF_HUB_OFFLINE forbids")
    downloaded = run("weights", "download", NAME, TQDM_POSITION="-1")  # with a progress bar, as on a terminal
    assert downloaded.returncode == 0, downloaded.stderr
    assert f"{NAME}: 100%" in downloaded.stderr
    predicted = run("predict", "--weights", NAME, "--input", photo, "--output", "out", HF_HUB_OFFLINE="1")
    assert predicted.returncode == 0, predicted.stderr
    assert hub.requests.count("GET") == 1
