"""The options --train-data, --val-data and --val-share of video classification."""

import csv
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_video.custom_data import VideoData

CONFIG = str(Path(__file__).parents[2] / "projects/Video/configs/kinetics400.py")


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def _applied(tmp_path: Path, **data: object):
    cfg = load_config(CONFIG, [f"train.output_dir={tmp_path / 'run'}"])
    values = dict.fromkeys(("train", "val", "val_share", "videos")) | data
    VideoData(**{key: value if key == "val_share" else value and str(value) for key, value in values.items()}).apply(
        cfg, training=True
    )
    return cfg


def _rows(file: str) -> list[list[str]]:
    with open(file, newline="") as lines:
        return list(csv.reader(lines))


def test_a_folder_per_class(tmp_path):
    names = [f"{kind}/{number}.mp4" for kind in ("run", "jump") for number in range(10)]
    cfg = _applied(tmp_path, train=_touch(tmp_path / "clips", *names, "run/notes.txt"), val_share=0.2)
    assert list(cfg.dataloader.class_names) == ["jump", "run"]
    assert cfg.model.num_classes == 2
    assert cfg.model.state_dict_adapter.head_rows is None
    val = _rows(cfg.dataloader.test.dataset.annotations)
    assert val[0] == ["path", "label"]
    assert sorted(label for _, label in val[1:]) == ["jump"] * 2 + ["run"] * 2
    assert len(_rows(cfg.dataloader.train.dataset.annotations)) == 17
    assert cfg.dataloader.test.dataset.root == str(tmp_path / "clips")
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == ["jump", "run"]


def test_parts_and_no_validation_data(tmp_path):
    cfg = _applied(tmp_path, train=_touch(tmp_path / "clips", "train/a/1.mp4", "train/b/1.mp4", "valid/b/2.mp4"))
    assert _rows(cfg.dataloader.test.dataset.annotations)[1:] == [["valid/b/2.mp4", "b"]]
    cfg = _applied(tmp_path, train=_touch(tmp_path / "other", "a/1.mp4", "b/1.mp4"))
    assert cfg.dataloader.evaluator is None


@pytest.mark.parametrize(
    ("name", "text", "files", "classes"),
    [
        ("v2.json", '[{"id": "7", "template": "Moving [something] up"}]', ["7.webm"], ["Moving something up"]),
        ("list.csv", "x.mp4,2\n", ["x.mp4"], ["0", "1", "2"]),
        ("v1.csv", "100218;Holding something\n", ["100218/00001.jpg"], ["Holding something"]),
    ],
)
def test_lists(tmp_path, name, text, files, classes):
    _touch(tmp_path / "clips", *files)
    (tmp_path / name).write_text(text)
    cfg = _applied(tmp_path, train=tmp_path / name, val=tmp_path / name, videos=tmp_path / "clips")
    assert OmegaConf.to_container(cfg.dataloader.class_names) == classes
    assert len(_rows(cfg.dataloader.train.dataset.annotations)) == 2


def test_videos_that_are_elsewhere(tmp_path):
    (tmp_path / "list.txt").write_text("../x.mp4 1\n")
    _touch(tmp_path.parent, "x.mp4")
    with pytest.raises(InputError, match=r"lists 1 of 1 videos that are not in .*--videos"):
        _applied(tmp_path, train=tmp_path / "list.txt")
