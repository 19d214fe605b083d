"""Labels of annotation files are classes of the run's list, or are named before the model is built."""

import json
from pathlib import Path

import pytest

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_engine.config.class_list import save_categories, settle_class_list
from eva_video.data import VideoDataset
from eva_video.prediction import find_class_names

RECIPE = str(Path(__file__).parents[3] / "projects/Video/configs/kinetics400.py")


def recipe(folder: Path, classes: object, train: str = "a.mp4 cat\nb.mp4 dog\n", test: str = "c.mp4 dog\n", size=2):
    for name, text in (("train.txt", train), ("test.txt", test)):
        (folder / name).write_text(text, encoding="utf-8")
    lists = [f"dataloader.{part}.dataset.annotations={folder / f'{part}.txt'}" for part in ("train", "test")]
    roots = [f"dataloader.{part}.dataset.root={folder}" for part in ("train", "test")]
    cfg = load_config(RECIPE, [*lists, *roots, f"model.num_classes={size}", f"train.output_dir={folder}"])
    cfg.dataloader.class_names = classes
    return cfg


def labels(cfg, part: str) -> list[int]:
    dataset = cfg.dataloader[part].dataset
    options = {name: dataset[name] for name in ("annotations", "root", "classes", "num_classes")}
    records = VideoDataset(**options)
    return [records[index]["label"] for index in range(len(records))]


@pytest.mark.parametrize("as_file", [False, True])
def test_the_list_is_stored_and_used_although_its_file_changes(tmp_path, as_file):
    (tmp_path / "classes.csv").write_text("id,name\n1,dog\n0,cat\n")
    cfg = recipe(tmp_path, str(tmp_path / "classes.csv") if as_file else ["cat", "dog"])
    settle_class_list(cfg, training=True)
    save_categories(cfg, tmp_path)
    (tmp_path / "classes.csv").write_text("id,name\n1,cat\n0,dog\n")
    assert (labels(cfg, "train"), labels(cfg, "test")) == ([0, 1], [1])
    rows = json.loads((tmp_path / "categories.json").read_text())["categories"]
    assert rows == [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]

    evaluated = recipe(tmp_path, None)
    evaluated.train.init_checkpoint = str(tmp_path / "model_final.pth")
    settle_class_list(evaluated, training=False)
    assert labels(evaluated, "test") == [1]
    assert find_class_names(recipe(tmp_path, None), 2, tmp_path / "model_final.pth") == ("cat", "dog")
    evaluated = recipe(tmp_path, ["dog", "cat"])
    evaluated.train.init_checkpoint = str(tmp_path / "model_final.pth")
    with pytest.raises(InputError, match=r"'dog' is class 0 in the classes for .*, but class 1 in the class list"):
        settle_class_list(evaluated, training=False)


@pytest.mark.parametrize(
    ("classes", "train", "test", "sentence"),
    [
        (["cat", "dog"], "a.mp4 cat\n", "c.mp4 ape\n", "has the label 'ape', which is not one of the 2 classes"),
        (["cat", "dog"], "a.mp4 2\n", "c.mp4 1\n", "has the label '2', which is not one of the 2 classes"),
        (["cat", "10"], "a.mp4 10\nb.mp4 0\n", "c.mp4 2\n", "has the label '2', which is not one of the 2 classes"),
        (["1", "0"], "a.mp4 1\n", "c.mp4 0\n", "has the label '1', which is not one of the 2 classes"),
        (None, "a.mp4 0\n", "c.mp4 5\n", "has 6 classes, the model only 2"),
        (None, "a.mp4 0\n", "c.mp4 10²\n", "has the label '10²'"),
    ],
)
def test_other_labels_are_named_before_the_model_is_built(tmp_path, classes, train, test, sentence):
    with pytest.raises(InputError, match=sentence):
        settle_class_list(recipe(tmp_path, classes, train, test), training=True)


def test_numbers_and_names_may_be_mixed(tmp_path):
    cfg = recipe(tmp_path, ["0", "1", "dog"], "a.mp4 1\nb.mp4 2\nc.mp4 dog\n", "c.mp4 0\n", size=3)
    settle_class_list(cfg, training=True)
    assert labels(cfg, "train") == [1, 2, 2]
