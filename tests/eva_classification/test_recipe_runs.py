"""Whole runs of a small classifier: training, evaluation, exact resume, masked image modelling."""

import json
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyCall
from image_folders import write_image_folders
from torch import nn

from eva_engine.commands.train import main
from eva_engine.config import load_config
from eva_engine.training import train

CONFIGS = Path(__file__).parents[2] / "projects" / "Classification" / "configs"
SMALL = [
    *("model.embed_dim=32", "model.depth=2", "model.num_heads=2", "model.img_size=28"),
    *("dataloader.train.total_batch_size=4", "dataloader.train.num_workers=0"),
    *("dataloader.test.num_workers=0", "dataloader.test.batch_size=4"),
    *("train.device=cpu", "train.amp.enabled=False", "train.seed=1", "train.log_period=1"),
    *("train.max_iter=4", "train.eval_period=2", "train.checkpointer.period=2", "lr_multiplier.warmup_iters=1"),
]
THREE_CLASSES = [
    *("model.num_classes=3", "dataloader.train.dataset.class_map=null", "dataloader.test.dataset.class_map=null"),
]


@pytest.fixture
def data(tmp_path, monkeypatch):
    write_image_folders(tmp_path / "imagenet" / "train", per_class=6)
    write_image_folders(tmp_path / "imagenet" / "val", per_class=3)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def run(name: str, *arguments: str) -> int:
    return main(["--config-file", str(CONFIGS / f"{name}.py"), *arguments])


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [line["total_loss"] for line in lines if "total_loss" in line]


def test_training_evaluates_and_resumes_exactly(data):
    mixup = "dataloader.train.collate.mixup"
    options = [*SMALL, *THREE_CLASSES, f"{mixup}._target_=timm.data.Mixup", f"{mixup}.num_classes=3"]
    options += ["train.validation_loss=True", "train.early_stopping.metric=validation/total_loss"]
    assert run("in1k_336", *options, f"train.output_dir={data / 'whole'}") == 0
    assert run("in1k_336", *options, f"train.output_dir={data / 'parts'}") == 0
    results = json.loads((data / "whole" / "results.json").read_text())
    assert results.keys() == {"accuracy", "accuracy_published"}
    assert results["accuracy"].keys() == {"top1", "top5", "loss"}
    assert (data / "whole" / "metrics.json").read_text().count("validation/total_loss") == 2
    whole = losses(data / "whole")
    assert len(whole) == 4

    (data / "parts" / "model_final.pth").unlink()
    (data / "parts" / "last_checkpoint").write_text("model_0000001.pth")
    assert run("in1k_336", "--resume", *options, f"train.output_dir={data / 'parts'}") == 0
    assert "Resuming from" in (data / "parts" / "log.txt").read_text()
    assert losses(data / "parts")[-4:] == whole
    again = json.loads((data / "parts" / "results.json").read_text())
    assert again == results

    weights = f"train.init_checkpoint={data / 'whole' / 'model_final.pth'}"
    assert run("in1k_336", "--eval-only", *options, weights, f"train.output_dir={data / 'evaluated'}") == 0
    assert "accuracy" in json.loads((data / "evaluated" / "results.json").read_text())
    assert "accuracy over 9 images" in (data / "evaluated" / "log.txt").read_text()

    low = ["--eval-only", "--dtype", "bfloat16"]
    assert run("in1k_336", *low, *options, weights, f"train.output_dir={data / 'bfloat16'}") == 0
    assert "Evaluating with weights in bfloat16" in (data / "bfloat16" / "log.txt").read_text()
    loss = json.loads((data / "bfloat16" / "results.json").read_text())["accuracy"]["loss"]
    assert loss == pytest.approx(results["accuracy"]["loss"], rel=0.01)
    assert loss != results["accuracy"]["loss"]


def test_training_has_no_dtype_of_weights(data, capsys):
    assert run("in1k_336", "--dtype", "bfloat16", *SMALL, *THREE_CLASSES, f"train.output_dir={data / 'run'}") == 2
    assert "--dtype is for evaluate; set train.amp.enabled=True" in capsys.readouterr().err


def test_dry_run_takes_batches_of_tensors(data, capsys):
    assert run("in1k_336", "--dry-run", *SMALL, *THREE_CLASSES, f"train.output_dir={data / 'dry'}") == 0
    told = capsys.readouterr().out
    assert re.search(r"batch +4 images", told)
    assert re.search("evaluation +every 2 iterations, 9 images", told)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["model.num_classes=2"], "has 3 classes, but the model only 2"),
        (["dataloader.train.dataset.root=nowhere"], "nowhere does not exist"),
        (["dataloader.train.dataset.split=corrupt"], "has no folder corrupt, but train, val"),
        (["dataloader.train.dataset.class_map=imagenet"], "has images in ant, bee, cat, which the class map does not"),
        (["dataloader.train.mapper.on_eror=skip"], "did you mean dataloader.train.mapper.on_error?"),
        (["dataloader.test.dataset.splt=train"], "did you mean dataloader.test.dataset.split?"),
    ],
)
def test_mistakes_are_one_sentence(data, capsys, change, sentence):
    assert run("in1k_336", *SMALL, *THREE_CLASSES, *change, f"train.output_dir={data / 'run'}") == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.strip().splitlines()[-1:]) == 1


def test_the_linear_probe_trains_its_head(data):
    options = [*SMALL, *THREE_CLASSES, "train.ddp.broadcast_buffers=False"]
    assert run("linear_probe_224", *options, f"train.output_dir={data / 'probe'}") == 0
    assert len(losses(data / "probe")) == 4


class MeanColours(nn.Module):
    """A teacher of three features: the mean colour of each patch."""

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(patch_size)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.pool(pixels).flatten(2).transpose(1, 2)


def test_masked_image_modelling_with_any_teacher(data):
    write_image_folders(data / "merged30m", classes=["all"], per_class=8)
    (data / "merged30m" / "all" / "3.png").write_bytes(b"")
    small = [option for option in SMALL if not option.startswith("model.img_size")]
    cfg = load_config(
        str(CONFIGS / "mim_pretrain_224.py"),
        [*small, "model.img_size=56", "model.teacher_dim=3", f"train.output_dir={data / 'mim'}"],
    )
    cfg.model.masking.update(grid=(4, 4), num_masked=6, min_block=2)
    cfg.model.teacher = LazyCall(MeanColours)(patch_size=14)
    train(cfg)
    assert all(-1 <= loss <= 1 for loss in losses(data / "mim"))
    assert -1 <= json.loads((data / "mim" / "results.json").read_text())["mim"]["loss"] <= 1
