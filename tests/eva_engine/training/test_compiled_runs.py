"""Runs with `train.compile`: exact resume, and weights that compiled and uncompiled runs exchange."""

import json
from pathlib import Path

import pytest
import torch
from compiled_blocks import require_compiler
from image_folders import write_image_folders
from tiny_run import CONFIGS, TINY, TINY_CASCADE, TINY_TRAINING, write_data

from eva_engine import compilation
from eva_engine.checkpoint import read_file
from eva_engine.commands.plan_memory import main as plan
from eva_engine.commands.train import main

CLASSIFIER = str(CONFIGS.parents[1] / "Classification" / "configs" / "in1k_336.py")
DETECTOR = str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_eva.py")
SMALL = [
    *("model.embed_dim=32", "model.depth=3", "model.num_heads=2", "model.img_size=28", "model.num_classes=3"),
    *("dataloader.train.dataset.class_map=null", "dataloader.test.dataset.class_map=null"),
    *("dataloader.train.total_batch_size=4", "dataloader.train.num_workers=0", "dataloader.test.num_workers=0"),
    *("train.device=cpu", "train.amp.enabled=False", "train.seed=1", "train.log_period=1", "train.max_iter=4"),
    *("train.eval_period=2", "train.checkpointer.period=2", "lr_multiplier.warmup_iters=1", "optimizer.lr=1e-2"),
    "model.drop_path_rate=0.0",
]
FEATURES = [
    *("train.compile=True", "model.drop_path_rate=0.3", "train.ema.enabled=True", "train.accumulation_steps=2"),
    "train.activation_checkpointing=torch",
]


@pytest.fixture
def images(tmp_path, monkeypatch):
    write_image_folders(tmp_path / "imagenet" / "train", per_class=6)
    write_image_folders(tmp_path / "imagenet" / "val", per_class=3)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def run(config: str, output: Path, *arguments: str) -> None:
    """Run the command as a new process would, which has compiled nothing."""
    torch._dynamo.reset()
    assert main(["--config-file", config, *arguments, f"train.output_dir={output}"]) == 0


def state(folder: Path, name: str = "model_final.pth") -> dict[str, torch.Tensor]:
    content = read_file(folder / name)
    return {**content["model"], **{f"average of {key}": value for key, value in content.get("ema", {}).items()}}


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [line["total_loss"] for line in lines if "total_loss" in line]


def resume(config: str, folder: Path, whole: Path, *arguments: str) -> None:
    folder.mkdir()
    (folder / "model_0000001.pth").write_bytes((whole / "model_0000001.pth").read_bytes())
    run(config, folder, "--resume", *arguments)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(backend, images, monkeypatch):
    monkeypatch.setattr(compilation, "BACKEND", backend)
    if backend == "inductor":
        require_compiler()
    whole, resumed = images / "whole", images / "resumed"
    run(CLASSIFIER, whole, *SMALL, *FEATURES)
    resume(CLASSIFIER, resumed, whole, *SMALL, *FEATURES)
    expected, found = state(whole), state(resumed)
    assert expected.keys() == found.keys()
    assert any(name.startswith("average of") for name in expected)
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []
    assert json.loads((resumed / "results.json").read_text()) == json.loads((whole / "results.json").read_text())


def test_weights_of_compiled_and_uncompiled_runs_are_interchangeable(images, monkeypatch):
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    first, second = images / "uncompiled", images / "compiled"
    run(CLASSIFIER, first, *SMALL)
    run(CLASSIFIER, second, *SMALL, "train.compile=True")
    expected, found = state(first), state(second)
    assert list(expected) == list(found)
    assert losses(second) == pytest.approx(losses(first), rel=1e-4)
    for weights, compiled in ((first, True), (second, False)):
        output = images / f"continued_{compiled}"
        start = f"train.init_checkpoint={weights / 'model_final.pth'}"
        run(CLASSIFIER, output, *SMALL, start, f"train.compile={compiled}", "train.max_iter=1")
        log = (output / "log.txt").read_text()
        assert " entries used, 0 resized, 0 skipped, 0 missing, 0 unused\n" in log
    # The evaluation inside of a compiled run is that of the command, which does not compile.
    evaluated = images / "evaluated"
    weights = f"train.init_checkpoint={second / 'model_final.pth'}"
    run(CLASSIFIER, evaluated, "--eval-only", *SMALL, weights, "train.compile=True")
    results = [json.loads((folder / "results.json").read_text()) for folder in (second, evaluated)]
    assert results[0] == results[1]


def test_a_detector_with_adapters_resumes_exactly(tmp_path, monkeypatch):
    pytest.importorskip("peft")
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    json_file, photos = write_data(tmp_path / "data", masks=False)
    data = ["--train-json", json_file, "--train-images", photos, "--val-json", json_file, "--val-images", photos]
    options = [
        *(*TINY, *TINY_CASCADE, *TINY_TRAINING, "train.max_iter=4", "train.checkpointer.period=2"),
        *("train.compile=True", "train.lora.rank=2", "train.freeze=['proposal_generator.*']"),
    ]
    run(DETECTOR, tmp_path / "whole", *data, *options)
    resume(DETECTOR, tmp_path / "resumed", tmp_path / "whole", *data, *options)
    expected, found = state(tmp_path / "whole"), state(tmp_path / "resumed")
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


def test_a_dry_run_names_it_and_a_plan_does_not_need_a_compiler(images, monkeypatch, capsys):
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    run(CLASSIFIER, images / "dry", "--dry-run", *SMALL, *FEATURES)
    assert "float32 on cpu, compiled blocks" in capsys.readouterr().out
    plans = []
    for changes in ([], ["train.compile=True"]):
        monkeypatch.setattr(compilation, "BACKEND", "no such backend")
        assert plan(["--config-file", CLASSIFIER, *SMALL, *changes]) in (0, 1)
        _, found, table = capsys.readouterr().out.partition("peak of each phase")
        assert found
        plans.append(table)
    assert plans[0] == plans[1]


def test_a_run_without_a_compiler_ends_before_anything_is_built(images, monkeypatch, capsys):
    monkeypatch.setattr(compilation, "BACKEND", "no such backend")
    torch._dynamo.reset()
    arguments = [*SMALL, "train.compile=True", f"train.output_dir={images / 'run'}"]
    assert main(["--config-file", CLASSIFIER, *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: train.compile=True cannot compile on this machine")
    assert not list((images / "run").glob("model_*"))
