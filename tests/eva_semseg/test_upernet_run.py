"""UperNet through the commands: training, exact resume, evaluation, prediction; weights with the other head."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_semseg_recipe import CLASSES, CONFIGS, write_halves

from eva_engine.commands.verbs import main

VIT = ["model.backbone.embed_dim=32", "model.backbone.num_heads=2"]
HEADS = ["model.decode_head.channels=16", "model.auxiliary_head.channels=8"]
SHORT = [
    *("dataloader.train.total_batch_size=2", "dataloader.train.num_workers=0", "dataloader.test.num_workers=0"),
    *("train.device=cpu", "train.log_period=1", "train.max_iter=3", "train.eval_period=0"),
    "train.validation_loss=True",
    *("train.checkpointer.period=1", "lr_multiplier.warmup_iters=1"),
]
DEMO = str(CONFIGS / "demo/upernet_eva02_tiny_microscope.py")
PUBLISHED = str(CONFIGS / "eva02/upernet/upernet_eva02_base_12_512_slide_60k.py")
PUBLISHED_MS = str(CONFIGS / "eva02/upernet/upernet_eva02_large_24_512_slide_ms_eval.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Folder of both splits of the demo's data, with synthetic images in place of the microscope's."""
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "heldout"):
        write_halves(root / split)
    return root


def arguments(verb: str, data: Path, output: Path, *more: str) -> list[str]:
    folders = [f"dataloader.{loader}.dataset.folder={data}" for loader in ("train", "test")]
    return [verb, "--config-file", DEMO, *VIT, *HEADS, *SHORT, *folders, f"train.output_dir={output}", *more]


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Path:
    """Folder of a finished run."""
    output = tmp_path_factory.mktemp("run")
    assert main(arguments("train", data, output)) == 0
    return output


def read_losses(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [{name: line[name] for name in ("loss_ce", "aux.loss_ce")} for line in lines if "loss_ce" in line]


def test_training_resumes_exactly(data, finished, tmp_path):
    assert len(read_losses(finished)) == 3
    assert "validation/aux.loss_ce" in (finished / "metrics.json").read_text()
    assert {"mIoU", "aAcc", "IoU-nucleus"} <= json.loads((finished / "results.json").read_text())["sem_seg"].keys()
    assert main(arguments("train", data, tmp_path)) == 0
    (tmp_path / "model_final.pth").unlink()
    (tmp_path / "last_checkpoint").write_text("model_0000000.pth")
    assert main(arguments("train", data, tmp_path, "--resume")) == 0
    assert read_losses(tmp_path)[-2:] == read_losses(finished)[-2:]
    ends = [torch.load(folder / "model_final.pth")["model"] for folder in (finished, tmp_path)]
    assert any(name.endswith("running_mean") for name in ends[0])
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_evaluation_and_prediction(data, finished, tmp_path):
    weights = finished / "model_final.pth"
    assert main(arguments("evaluate", data, tmp_path, f"train.init_checkpoint={weights}")) == 0
    assert (tmp_path / "results.json").read_text() == (finished / "results.json").read_text()
    files = ["--config-file", str(finished / "config.yaml"), "--weights", str(weights)]
    image = str(data / "heldout/images/0.png")
    assert main(["predict", *files, "--input", image, "--output", str(tmp_path), "--device", "cpu"]) == 0
    labels = np.asarray(Image.open(tmp_path / "0_labels.png"))
    assert labels.shape == (70, 90)
    assert set(np.unique(labels)) <= {0, 1, 2}


def custom(verb: str, config: str, data: Path, output: Path, *more: str) -> list[str]:
    """Return the command for a published recipe with a small model and custom data of two classes."""
    folders = []
    for loader, split in (("train", "train"), ("test", "heldout")):
        key = f"dataloader.{loader}.dataset"
        folders += [f"{key}.image_root={data}/{split}/images", f"{key}.label_root={data}/{split}/labels"]
        folders.append(f"{key}.class_names=[{','.join(CLASSES)}]")
    changes = [
        *("model.backbone.depth=4", "model.backbone.out_indices=[0,1,2,3]", "model.decode_head.num_classes=2"),
        *("model.inference.windows.size=[64,64]", "model.inference.windows.stride=[43,43]"),
        *("dataloader.train.mapper.size=[64,64]", "dataloader.train.mapper.augmentations.0.short_side=64"),
        *("dataloader.test.mapper.views.short_side=64", "train.amp.enabled=False"),
    ]
    command = [verb, "--config-file", config, *VIT, *HEADS, *SHORT, *changes, *folders]
    return [*command, f"train.output_dir={output}", *more]


def test_custom_data_from_other_classes_and_evaluation_at_several_scales(data, finished, tmp_path):
    start = f"train.init_checkpoint={finished / 'model_final.pth'}"
    assert main(custom("train", PUBLISHED, data, tmp_path / "run", start, "train.max_iter=2")) == 0
    log = (tmp_path / "run/log.txt").read_text()
    assert "decode_head.conv_seg.weight" in log  # skipped: it is for three classes
    assert "auxiliary_head.conv_seg.weight" in log
    weights = f"train.init_checkpoint={tmp_path / 'run/model_final.pth'}"
    scales = "dataloader.test.mapper.views.min_short_side=64"
    assert main(custom("evaluate", PUBLISHED_MS, data, tmp_path / "ms", weights, scales)) == 0
    assert 0 <= json.loads((tmp_path / "ms/results.json").read_text())["sem_seg"]["mIoU"] <= 100


def test_weights_with_the_other_head(data, finished, tmp_path, capsys):
    demo = str(CONFIGS / "demo/mask2former_eva_tiny_microscope.py")
    image = ["--input", str(data / "heldout/images/0.png"), "--output", str(tmp_path), "--device", "cpu"]
    weights = str(finished / "model_final.pth")
    assert main(["predict", "--config-file", demo, "--weights", weights, *image]) == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1
    assert f"{weights} belongs to another model: it holds a ViT of width 32" in error
