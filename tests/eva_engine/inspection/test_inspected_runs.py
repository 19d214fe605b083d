"""Checkpoints of own runs with the config beside them, and files that are none: what the command says."""

import os
import pickle
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from detectron2.config import instantiate
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from eva_engine.checkpoint.sharded_checkpoint import write_sharded
from eva_engine.checkpoint.unsharded_checkpoint import write_unsharded
from eva_engine.commands.inspect_weights import main
from eva_engine.config import load_config, save_config
from eva_engine.inspection import identify
from eva_engine.inspection.recipes import Recipe
from eva_engine.training.adaptation import adapt_model

ROOT = Path(__file__).parents[3]
RECIPE = "projects/Classification/configs/demo/mnist_scratch.py"
LARGE = "projects/Classification/configs/in1k_336.py"
CLASSIFIER = "eva_classification.Classifier"
EVIL = "evil: {_target_: os.system, command: touch ran}\n"
TINY = ["model.embed_dim=32", "model.depth=2", "model.num_classes=3"]


@pytest.fixture(autouse=True, scope="module")
def _few_recipes():
    """Enough to be refused by; all of them are tried on the published files."""
    few = [Recipe(path, load_config(str(ROOT / path))) for path in (RECIPE, LARGE)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identify, "find_recipes", lambda demos=False: few[:1] if demos else few[1:])
        patch.chdir(ROOT)
        yield


@pytest.fixture
def run(tmp_path):
    """The folder of a run with its config alone, and the state that it would save."""
    cfg = load_config(RECIPE, TINY)
    save_config(cfg, tmp_path / "config.yaml")
    model = instantiate(cfg.model)
    moments = {name: {"exp_avg": torch.zeros_like(value)} for name, value in model.named_parameters()}
    state = {"model": model.state_dict(), "optimizer": {"state": moments}, "iteration": 849}
    return tmp_path, state


def inspect(capfd, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capfd.readouterr()
    return status, captured.out, captured.err


def test_run(run, capfd):
    folder, state = run
    write_unsharded(folder / "model_final.pth", state)
    status, out, _ = inspect(capfd, folder / "model_final.pth")
    assert status == 0
    assert "model: image classifier, a ViT of width 32, depth 2, patch 8, positions for 32 px (4 x 4 patches)" in out
    assert "3 classes" in out
    assert "  entry optimizer: 34 tensors" in out
    assert "  entry iteration: 849" in out
    assert f"config: {folder}/config.yaml (exactly this model)" in out
    assert f"evaluate --config-file {folder}/config.yaml train.init_checkpoint={folder}/model_final.pth" in out
    assert "34 entries used, 0 resized, 0 skipped, 0 missing, 0 unused" in out


def test_average(run, capfd):
    folder, state = run
    write_unsharded(folder / "model_final.pth", state | {"ema": {"cls_token": state["model"]["cls_token"]}})
    status, out, _ = inspect(capfd, folder / "model_final.pth", "--entry", "ema", "--names")
    assert status == 1  # of this little nothing is to be told
    assert "weights: 1 tensors" in out
    assert out.endswith("  names:\n    cls_token [1, 1, 32] float32\n")
    write_unsharded(folder / "model_final.pth", state | {"ema": state["model"]})
    status, out, _ = inspect(capfd, folder / "model_final.pth", "--entry", "ema")
    assert status == 0
    averaged = f"{folder}/model_final_ema.pth"
    assert f"first: python -m tools export {folder}/model_final.pth {averaged} --entry ema" in out
    assert f"train.init_checkpoint={averaged}" in out


def test_low_rank_layers(run, capfd):
    folder, _ = run
    cfg = load_config(RECIPE, [*TINY, "train.lora.rank=2"])
    model = instantiate(cfg.model)
    adapt_model(model, cfg.train)
    lora = {"rank": 2, "alpha": 16.0}
    write_unsharded(folder / "model_0000009.pth", {"model": model.state_dict(), "lora": lora})
    status, out, _ = inspect(capfd, folder / "model_0000009.pth")
    assert status == 0
    assert "low-rank layers of rank 2 merged" in out
    assert "34 entries used, 0 resized, 0 skipped, 0 missing, 0 unused" in out


def test_split_run(run, capfd):
    folder, state = run
    partial, path = folder / ".partial", folder / "model_0000009"
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        weights = {name: distribute_tensor(value, mesh, [Shard(0)]) for name, value in state["model"].items()}
        write_sharded(path, partial, state | {"model": weights}, dist.group.WORLD)
    finally:
        dist.destroy_process_group()
    partial.rename(path)
    for part in path.glob("*.distcp"):
        part.write_bytes(bytes(part.stat().st_size))  # no value of it is needed
    status, out, _ = inspect(capfd, path)
    assert status == 0
    assert f"{path}: sharded checkpoint" in out
    assert "34 entries used, 0 resized, 0 skipped, 0 missing, 0 unused" in out


@pytest.mark.parametrize(
    "recipe",
    [
        "projects/SemSeg/configs/demo/mask2former_eva_tiny_microscope.py",
        "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py",
    ],
)
def test_references_of_a_run(tmp_path, recipe):
    save_config(load_config(recipe), tmp_path / "config.yaml")
    own, note = identify.Identifier()._config_of_run(tmp_path / "model_final.pth")
    assert note == ""
    assert own.has_evaluation
    ours, theirs = own.build_on_meta().state_dict(), Recipe(recipe, load_config(recipe)).build_on_meta().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: v.shape for name, v in theirs.items()}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("model: {_target_: os.system, command: touch ran}", "names os.system as model._target_, which no recipe"),
        ("model: !!python/object/apply:os.system ['touch ran']", "the tag !!python/object/apply:os.system"),
        ("a: &a {_target_: os.system}\nmodel: *a", "has an alias"),
        (f"{EVIL}model: {{_target_: {CLASSIFIER}, num_classes: '${{evil}}'}}", "names os.system as evil._target_"),
        ("model: {_target_: '${evil}', command: touch ran}\nevil: os.system", "names ${evil} as model._target_"),
        ("a: {}\nmodel: {_target_: '${oc.create:${a}}'}", "is not a reference to a key"),
        ("model: {a: '${model}'}", "expand to any size"),
        ("train: {}", "the config has no model"),
        ("model: {_target_: eva_classification.Classifier, num_classes: ", "cannot be loaded as data"),
        (f"dataloader: {{}}\nmodel: {{_target_: {CLASSIFIER}, depth: 1000000000}}", "depth=1000000000 is out of range"),
        (f"dataloader: {{}}\nmodel: {{_target_: {CLASSIFIER}, depth: '${{x}}'}}", "Interpolation key 'x' not found"),
        (
            f"dataloader: {{}}\nmodel: {{_target_: {CLASSIFIER}, num_classes: 2, dep: 3}}",
            "unexpected keyword argument 'dep'",
        ),
    ],
)
def test_config_of_unknown_origin(run, capfd, monkeypatch, config, why):
    folder, state = run
    write_unsharded(folder / "model_final.pth", state)
    (folder / "config.yaml").write_text(config)
    monkeypatch.chdir(folder)
    status, out, _ = inspect(capfd, folder / "model_final.pth")
    assert status == 1
    assert why in next(line for line in out.splitlines() if "note: " in line)
    assert not (folder / "ran").exists()


def test_given_config(run, capfd):
    folder, state = run
    write_unsharded(folder / "model_final.pth", state)
    status, out, _ = inspect(capfd, folder / "model_final.pth", "--config-file", RECIPE)
    assert status == 1
    assert f"config: no recipe has this model; nearest is {RECIPE}" in out
    assert "it holds a ViT of width 32, depth 2, patch 8, expected is a ViT of width 64, depth 4, patch 8" in out
    assert "cls_token is [1, 1, 32] in the file and [1, 1, 64] in the model" in out
    status, _, error = inspect(capfd, folder / "model_final.pth", "--config-file", "none.py")
    assert (status, error.count("\n")) == (2, 1)
    assert "the config file none.py does not exist" in error


def test_weights_of_something_else(tmp_path, capfd):
    torch.save({"layer1.conv": torch.zeros(2, 3), "fc.weight": torch.zeros(4)}, tmp_path / "other.pth")
    status, out, _ = inspect(capfd, tmp_path / "other.pth", "--names")
    assert status == 1
    assert "model has such entries" in out
    assert "layer1.conv [2, 3] float32" in out
    torch.save({"layer1.\x1b[31mconv": torch.zeros(2, 3)}, tmp_path / "other.pth")
    status, out, err = inspect(capfd, tmp_path / "other.pth", "--names")
    assert (status, out) == (2, "")
    assert "\x1b" not in err


class Malicious:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"some text", "is not a weight file"),
        (b"PK\x03\x04" + bytes(100), "truncated"),
        (pickle.dumps({"model": Malicious()}), "is refused"),
    ],
)
def test_unusable_file(tmp_path, capfd, content, why):
    (tmp_path / "model.pth").write_bytes(content)
    torch.save({"a": torch.zeros(2)}, tmp_path / "usable.pth")
    status, out, error = inspect(capfd, tmp_path / "model.pth", tmp_path / "usable.pth")
    assert status == 2
    assert error.count("\n") == 1
    assert why in error
    assert f"{tmp_path}/usable.pth: torch" in out
