"""`--dry-run`: everything is built and tried, nothing is left behind."""

import pytest
from tiny_run import CONFIGS, TINY, TINY_CASCADE, TINY_TRAINING, write_data

from detectron2_ext.engine.command_line import main


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
    plan = {line.split("  ")[1]: line for line in out.partition("The plan:")[2].splitlines() if line.startswith("  ")}
    assert "GeneralizedRCNN, 161,522 parameters" in plan["model"]
    assert "float32 on cpu" in plan["precision"]
    assert "2 images in 2 parts" in plan["an iteration"]
    assert "300 iterations = 200.0 epochs of 3 images" in plan["training"]
    assert "AdamW" in plan["optimizer"]
    assert "loss_rpn_cls" in plan["losses"]
    assert "every 100 iterations" in plan["checkpoints"]
    assert "4 images" in plan["evaluation"]
    assert not (tmp_path / "run").exists()


def test_what_would_stop_the_run_stops_the_trial(command, capsys):
    assert main([*command, "train.accumulation_steps=3"]) == 2
    assert "cannot be split among 1 processes in 3 parts each" in capsys.readouterr().err
