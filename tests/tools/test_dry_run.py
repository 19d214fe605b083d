"""`--dry-run` builds and tries everything, and leaves no files."""

import time

import pytest
import torch
from detectron2.config import LazyCall
from detectron2.evaluation import DatasetEvaluator
from omegaconf import OmegaConf
from tiny_run import CONFIGS, TINY, TINY_CASCADE, TINY_TRAINING, write_data
from torch import nn

from eva_engine.commands.train import main
from eva_engine.config import TRAIN_SETTINGS
from eva_engine.training.dry_run import _try_evaluation


@pytest.fixture
def command(tmp_path):
    json_file, images = write_data(tmp_path / "own", masks=False)
    data = ["--train-json", json_file, "--train-images", images, "--val-json", json_file, "--val-images", images]
    config = ["--config-file", str(CONFIGS / "COCO/cascade_mask_rcnn_vitdet_eva.py"), "--dry-run", *data]
    return [*config, *TINY, *TINY_CASCADE, *TINY_TRAINING, f"train.output_dir={tmp_path / 'run'}"]


def test_plan_is_printed_and_nothing_is_written(command, tmp_path, capsys):
    overrides = ["train.max_iter=300", "train.accumulation_steps=2", "train.freeze=['backbone.net.blocks.0.*']"]
    assert main([*command, *overrides, "train.checkpointer.period=100"]) == 0
    out = capsys.readouterr().out
    plan = {
        line.split("  ")[1]: line for line in out.partition("Planned run:")[2].splitlines() if line.startswith("  ")
    }
    assert "GeneralizedRCNN, 161,522 parameters" in plan["model"]
    assert "float32 on cpu" in plan["precision"]
    assert "2 images in 2 micro-batches" in plan["batch"]
    assert "300 iterations = 200.0 epochs of 3 images" in plan["training"]
    assert "AdamW" in plan["optimizer"]
    assert "loss_rpn_cls" in plan["losses"]
    assert "every 100 iterations" in plan["checkpoints"]
    assert "4 images" in plan["evaluation"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.accumulation_steps=3", "cannot be split among 1 processes in 3 micro-batches each"),
        ("train.checkpointer.max_to_keep=0", "max_to_keep=0 is out of range; give a number of 1 or more"),
        ("train.checkpointer.best_metric=bbox/Ap", "the metrics are: bbox/AP"),
        ("train.init_checkpoint=none.pth", "none.pth does not exist"),
    ],
)
def test_errors_of_the_run_are_found(override, sentence, command, capsys):
    assert main([*command, override]) == 2
    assert sentence in capsys.readouterr().err


def test_folder_of_an_earlier_run_is_refused(command, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model_0000001.pth").touch()
    assert main(command) == 2
    assert "contains checkpoints of an earlier run" in capsys.readouterr().err


class TestTimeAugmentation(list):
    """Batches of a process with several views of each image of the dataset."""

    dataset = range(2)


def make_views():
    return TestTimeAugmentation([torch.zeros(2, 1)] * 5)


class Nothing(DatasetEvaluator):
    def reset(self):
        pass

    def process(self, inputs, outputs):
        pass


def test_estimated_time_of_the_evaluation_counts_the_views_of_this_process(monkeypatch):
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    cfg = OmegaConf.create({"train": TRAIN_SETTINGS}, flags={"allow_objects": True})
    cfg.dataloader = {"test": LazyCall(make_views)(), "evaluator": LazyCall(Nothing)()}
    (_, line), *_ = _try_evaluation(cfg, nn.Linear(1, 1))
    assert line.endswith("2 images, 2.00 s for the first: 20 s")
