"""The options --train-data, --val-data and --val-share of image classification."""

import csv
import json
from pathlib import Path

import pytest
from image_folders import write_image_folders
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_classification.data import ImageDataset
from eva_classification.data.image_list import read_image_list
from eva_engine.commands.train import main

CONFIGS = Path(__file__).parents[2] / "projects" / "Classification" / "configs"
SMALL = [
    *("model.embed_dim=32", "model.depth=1", "model.num_heads=2", "model.img_size=28"),
    *("dataloader.train.total_batch_size=4", "dataloader.train.num_workers=0", "dataloader.test.num_workers=0"),
    *("train.device=cpu", "train.amp.enabled=False", "train.max_iter=1", "train.eval_period=0"),
    *("lr_multiplier.warmup_iters=0", "train.ema.enabled=False"),
]


def _run(*arguments: object) -> int:
    return main(["--config-file", str(CONFIGS / "in1k_336.py"), *SMALL, *map(str, arguments)])


def _rows(file: Path) -> list[list[str]]:
    with file.open(newline="") as lines:
        return list(csv.reader(lines))[1:]


def test_a_share_of_a_folder_is_evaluated_on(tmp_path):
    images = write_image_folders(tmp_path / "images", ("bee", "ant10", "ant9"), per_class=6)
    run = tmp_path / "run"
    assert _run("--train-data", images, "--val-share", 0.34, f"train.output_dir={run}") == 0
    train, val = _rows(run / "data/train.csv"), _rows(run / "data/val.csv")
    assert sorted(label for _, label in val) == ["ant10"] * 2 + ["ant9"] * 2 + ["bee"] * 2
    assert {tuple(row) for row in train}.isdisjoint(map(tuple, val))
    assert len(train) == 12
    assert "accuracy" in json.loads((run / "results.json").read_text())
    assert OmegaConf.load(run / "config.yaml").dataloader.categories == ["ant9", "ant10", "bee"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "run"]  # nothing is written to the data
    assert main(["--eval-only", "--weights", str(run)]) == 0
    assert "accuracy over 6 images" in (tmp_path / "run_evaluation/log.txt").read_text()


def test_lists_and_folders_with_parts(tmp_path):
    write_image_folders(tmp_path / "images/train", ("ant", "bee"), per_class=2)
    write_image_folders(tmp_path / "images/valid", ("ant", "bee"), per_class=1)
    assert _run("--train-data", tmp_path / "images", f"train.output_dir={tmp_path / 'a'}") == 0
    config = OmegaConf.load(tmp_path / "a/config.yaml")
    assert (config.model.num_classes, config.dataloader.test.dataset.split) == (2, "val")
    listing = tmp_path / "images/labels.csv"
    listing.write_text("id,label\ntrain/ant/0,a\ntrain/bee/0.png,b\n")
    options = ["--train-data", listing, "--val-data", listing, f"train.output_dir={tmp_path / 'b'}"]
    assert _run(*options) == 0
    assert OmegaConf.load(tmp_path / "b/config.yaml").dataloader.categories == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "path,class\nant/0.png,a\nbee/0.png,b\n"),
        ("list.csv", "ant/0.png,a\nbee/0.png,b\n"),
        ("list.tsv", "class\tfile\na\tant/0.png\nb\tbee/0.png\n"),
        ("list.txt", "ant/0.png a\n\nbee/0.png\tb\n"),
        ("list.csv", "image_id,label\nant/0,a\nbee\\0,b\n"),
    ],
)
def test_forms_of_a_list(tmp_path, name, text):
    write_image_folders(tmp_path, ("ant", "bee"), per_class=1)
    (tmp_path / name).write_text(text)
    assert read_image_list(tmp_path / name, tmp_path) == [("ant/0.png", "a"), ("bee/0.png", "b")]
    dataset = ImageDataset(str(tmp_path), listing=str(tmp_path / name))
    assert dataset.class_numbers == {"a": 0, "b": 1}
    file, label = dataset[1]["read"]()
    file.close()
    assert label == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ant/0.png\n", "line 1 is not a path and a class"),
        (
            "../x.png a\n/etc/passwd b\nant/9.png c\n",
            r"lists 3 image\(s\) .*: \.\./x\.png, /etc/passwd, ant",
        ),
        ("\n", "lists no image"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, text, message):
    write_image_folders(tmp_path / "images", ("ant",), per_class=1)
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "images/list.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_image_list(tmp_path / "images/list.txt", tmp_path / "images")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--val-share", "0.1"], "--val-share takes a part of --train-data"),
        (["--train-data", "{}", "--val-data", "{}", "--val-share", "0.1"], "exclude each other"),
        (["--train-data", "{}", "--val-share", "0"], "give a fraction between 0 and 1"),
        (["--val-data", "{}"], "there is no data to train on"),
        (["--train-data", "{}/none"], "none: no such file or folder"),
        (["--eval-only", "--train-data", "{}"], "evaluate does not use --train-data"),
        (["--train-data", "{}", "--data-format", "voc"], "--data-format is for detection"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message, capsys):
    assert _run(*(option.format(tmp_path) for option in options), f"train.output_dir={tmp_path / 'run'}") == 2
    assert message in capsys.readouterr().err
