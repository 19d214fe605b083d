"""A run with low-rank adapters and frozen parameters: resumed, evaluated, exported and shown as any other."""

import json

import pytest
import torch
from tiny_run import CONFIGS, TINY, TINY_CASCADE, TINY_TRAINING, write_data

from eva_engine.checkpoint import read_file, read_weights
from eva_engine.commands.train import main

pytest.importorskip("peft")

RECIPE = [
    *TINY,
    *TINY_CASCADE,
    *TINY_TRAINING,
    "optimizer.lr=1e-2",
    "train.lora.rank=2",
    "train.freeze=['proposal_generator.*']",
    "train.activation_checkpointing=torch",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    json_file, images = write_data(tmp_path_factory.mktemp("data") / "own", masks=False)
    return ["--train-json", json_file, "--train-images", images, "--val-json", json_file, "--val-images", images]


def run(data, output, *overrides, flags=()):
    config = ["--config-file", str(CONFIGS / "COCO/cascade_mask_rcnn_vitdet_eva.py"), *flags]
    assert main([*config, *data, *RECIPE, f"train.output_dir={output}", *overrides]) == 0


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "output"
    run(data, output, "train.max_iter=4", "train.checkpointer.period=2")
    return output


def test_only_the_adapters_and_heads_have_moved(trained):
    before, after = (read_file(trained / name)["model"] for name in ("model_0000001.pth", "model_final.pth"))
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert any("lora_A" in name for name in moved)
    assert not [name for name in moved if name.startswith("proposal_generator") or "base_layer" in name]
    assert not [name for name in moved if name.startswith("backbone.net") and "lora" not in name]
    assert any(name.startswith("roi_heads") for name in moved)


def test_resumed_run_equals_the_uninterrupted_one(trained, data, tmp_path):
    (tmp_path / "model_0000001.pth").write_bytes((trained / "model_0000001.pth").read_bytes())
    run(data, tmp_path, "train.max_iter=4", "train.checkpointer.period=2", flags=["--resume"])
    expected, weights = (read_file(folder / "model_final.pth")["model"] for folder in (trained, tmp_path))
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_checkpoint_reads_as_merged_plain_weights(trained, tmp_path):
    weights = read_weights(trained / "model_final.pth")
    assert "backbone.net.blocks.0.attn.qkv.weight" in weights
    assert not [name for name in weights if "lora" in name or "base_layer" in name]
    config = ["--config-file", str(trained / "config.yaml"), "--eval-only"]
    overrides = [f"train.init_checkpoint={trained}/model_final.pth", f"train.output_dir={tmp_path}"]
    assert main([*config, *overrides]) == 0
    results, expected = (json.loads((folder / "results.json").read_text())["bbox"] for folder in (tmp_path, trained))
    assert results["AP"] == pytest.approx(expected["AP"], abs=1e-3)
