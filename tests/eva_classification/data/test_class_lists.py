"""Splits and classes of image folders: nothing else becomes a split, a class or an image; one class list for a run."""

import json
import logging
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_classification.data import ImageDataset
from eva_engine.commands import predict
from eva_engine.commands.train import main as train

RECIPE = str(Path(__file__).parents[3] / "projects/Classification/configs/in1k_336.py")
TINY = [
    *("model.embed_dim=32", "model.depth=1", "model.num_heads=2", "model.img_size=28", "train.device=cpu"),
    *("dataloader.train.total_batch_size=4", "dataloader.train.num_workers=0", "dataloader.test.num_workers=0"),
    *("train.amp.enabled=False", "train.ema.enabled=False", "train.max_iter=60", "lr_multiplier.warmup_iters=1"),
    *("train.eval_period=0", "optimizer.lr=3e-3", "train.seed=1", "train.freeze=[]"),
    *("dataloader.train.mapper.transform.auto_augment=null", "dataloader.train.mapper.transform.scale=[1.0,1.0]"),
]
COLOURS = {"ape": (255, 255, 0), "cat": (255, 0, 0), "dog": (0, 255, 0), "eel": (0, 0, 255)}


def write(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        colour = next((COLOURS[part] for part in Path(path).parts if part in COLOURS), (9, 9, 9))
        Image.new("RGB", (28, 28), colour).save(root / path, "JPEG" if path.endswith("jfif") else None)
    return root


def pack(folder: Path, wrapper: str = ".") -> str:
    with tarfile.open(f"{folder}.tar", "w") as tar:
        tar.add(folder, arcname=wrapper)
    return f"{folder}.tar"


def read(root: Path | str, **options: object) -> dict[str, int]:
    """Return the label of each image by its path."""
    dataset = ImageDataset(str(root), **options)
    labels = {}
    for index in range(len(dataset)):
        file, label = dataset[index]["read"]()
        with file, Image.open(file) as image:
            image.load()
        labels[os.path.relpath(dataset[index]["file_name"], dataset.source)] = label
    return labels


@pytest.mark.parametrize("as_tar", [False, True])
@pytest.mark.parametrize(
    ("folders", "split", "chosen"),
    [
        (("Train", "Test"), "train", "Train"),
        (("Train", "Test"), "test", "Test"),
        (("training", "validation"), "train", "training"),
        (("tr", "te"), "train", "tr"),
        (("tr", "te"), "test", "te"),
        (("training", "testing"), "test", "testing"),
        (("training", "valid"), "val", "valid"),
        (("train_images", "test_images"), "train", "train_images"),
        (("TrainSet", "DevSet"), "val", "DevSet"),
        (("images-train2017", "images-val2017"), "validation", "images-val2017"),
        (("trainval", "train", "test"), "train", "train"),
        (("test1", "test2"), "test2", "test2"),
        (("fold1", "fold2"), "Fold2", "fold2"),
        (("train", "val", "extra"), "val", "val"),
    ],
)
def test_splits_are_found_by_their_usual_names(tmp_path, folders, split, chosen, as_tar):
    for number, folder in enumerate(folders):
        write(tmp_path / "data", f"{folder}/cat/{number}.png", f"{folder}/dog/{number}.png")
    root = pack(tmp_path / "data") if as_tar else tmp_path / "data"
    number = folders.index(chosen)
    assert read(root, split=split) == {f"cat/{number}.png": 0, f"dog/{number}.png": 1}


@pytest.mark.parametrize("as_tar", [False, True])
@pytest.mark.parametrize(
    ("folders", "split", "sentence"),
    [
        (("Train", "Test"), "val", "has no folder val, but Test, Train"),
        (("tr", "te"), "val", "has no folder val, but te, tr"),
        (("trainval", "test"), "train", "has no folder train, but test, trainval"),
        (("train", "Training"), "train", "has train, Training for the split train"),
        (("train", "synthetic"), "train", "has train, which looks like a split, and synthetic, which does not"),
        (("fold1", "fold2"), "fold3", "has no folder fold3, but fold1, fold2"),
    ],
)
def test_no_split_stands_for_another(tmp_path, folders, split, sentence, as_tar):
    for folder in folders:
        write(tmp_path / "data", f"{folder}/cat/0.png", f"{folder}/dog/0.png")
    with pytest.raises(InputError, match=sentence) as error:
        ImageDataset(pack(tmp_path / "data") if as_tar else str(tmp_path / "data"), split=split)
    assert "\n" not in str(error.value)


def test_splits_inside_of_another_folder_are_not_joined(tmp_path):
    write(tmp_path / "data", *(f"photos/{split}/{name}/0.png" for split in ("train", "val") for name in ("cat", "dog")))
    with pytest.raises(InputError, match="one folder that contains all others"):
        ImageDataset(str(tmp_path / "data"), split="val")
    with pytest.raises(InputError, match="has splits in other folders"):
        ImageDataset(str(tmp_path / "data"), split="val", class_map=["cat", "dog"])
    assert read(pack(tmp_path / "data"), split="val") == {"cat/0.png": 0, "dog/0.png": 1}


def test_classes_may_have_the_names_of_splits(tmp_path):
    write(tmp_path / "flat", "train/0.png", "bus/0.png", "car/0.png")
    assert read(tmp_path / "flat", split="train") == {"bus/0.png": 0, "car/0.png": 1, "train/0.png": 2}
    write(tmp_path / "deep", "test/monday/0.png", "control/monday/0.png")
    assert read(tmp_path / "deep", split=None) == {"control/monday/0.png": 0, "test/monday/0.png": 1}
    listed = {"class_map": ["control", "test"], "split": "test"}
    assert read(tmp_path / "deep", **listed) == {"control/monday/0.png": 0, "test/monday/0.png": 1}


@pytest.mark.parametrize("as_tar", [False, True])
def test_the_first_folder_below_the_split_is_the_class(tmp_path, as_tar):
    sessions = [f"train/{name}/{day}/0.png" for name in ("cat", "dog") for day in ("monday", "tuesday")]
    write(tmp_path / "data", *sessions)
    root = pack(tmp_path / "data", "wrapper") if as_tar else tmp_path / "data"
    expected = {path.removeprefix("train/"): int("dog" in path) for path in sessions}
    assert read(root, split="train") == expected
    assert ImageDataset(str(root), split="train").class_numbers == {"cat": 0, "dog": 1}


def test_a_class_map_may_list_folders_inside_of_groups(tmp_path):
    write(tmp_path, "animals/cat/0.png", "animals/dog/0.png", "vehicles/bus/0.png")
    labels = {"animals/cat/0.png": 2, "animals/dog/0.png": 0, "vehicles/bus/0.png": 1}
    assert read(tmp_path, class_map=["dog", "bus", "cat"]) == labels


def test_one_folder_around_all_classes_is_not_a_class(tmp_path):
    write(tmp_path, "photos/cat/0.png", "photos/dog/0.png")
    with pytest.raises(InputError, match="one folder that contains all others"):
        ImageDataset(str(tmp_path))


@pytest.mark.parametrize("as_tar", [False, True])
def test_hidden_and_other_files_are_left_out_and_counted(tmp_path, as_tar, caplog):
    caplog.set_level(logging.INFO)
    root = write(tmp_path / "data", "cat/0.png", "cat/1.jfif", "dog/0.PNG", "loose.png", ".ipynb_checkpoints/0.png")
    write(root, "__MACOSX/cat/0.png", "dog/@eaDir/0.png", "dog/.1.png")
    for name in ("cat/._0.png", "dog/Thumbs.db", "dog/notes.txt"):
        (root / name).write_bytes(b"\0\5\x16\7")
    assert read(pack(root) if as_tar else root) == {"cat/0.png": 0, "cat/1.jfif": 0, "dog/0.PNG": 1}
    assert "1 images that are not in the folder of a class" in caplog.text
    hidden = "6 hidden files" if as_tar else "3 hidden folders, 3 hidden files"
    assert hidden in caplog.text
    assert "1 files of other kinds" in caplog.text


def test_folder_names_are_never_parsed_as_numbers(tmp_path):
    names = ["0", "2", "10", "10²", "٢", "Ⅷ", "a", "A"]
    write(tmp_path, *(f"{name}/²{name}.png" for name in names))
    numbers = ImageDataset(str(tmp_path)).class_numbers
    assert list(numbers.values()) == list(range(8))
    assert [name for name in numbers if name.isascii()] == ["0", "2", "10", "A", "a"]
    assert len(read(pack(tmp_path))) == 8


def test_links_that_contain_themselves_are_not_followed(tmp_path):
    write(tmp_path, "cat/0.png", "dog/0.png")
    os.symlink(tmp_path, tmp_path / "cat" / "all")
    os.symlink(tmp_path / "dog", tmp_path / "fox")
    assert read(tmp_path) == {"cat/0.png": 0, "dog/0.png": 1, "fox/0.png": 2}


def test_an_empty_class_keeps_its_number(tmp_path, caplog):
    write(tmp_path, "ape/0.png", "dog/0.png")
    (tmp_path / "cat").mkdir()
    assert read(tmp_path) == {"ape/0.png": 0, "dog/0.png": 2}
    assert "no images of 1 of the 3 classes: cat" in caplog.text


def test_pretraining_uses_all_images(tmp_path):
    paths = ["0.png", "coco/1.png", "coco/deep/2.png"]
    write(tmp_path / "data", *paths, ".hidden/3.png")
    assert read(tmp_path / "data", has_labels=False) == dict.fromkeys(paths, 0)
    write(tmp_path / "splits", "train/0.png", "test/1.png", "other/2.png")
    assert read(tmp_path / "splits", has_labels=False, split="train") == {"0.png": 0}
    with pytest.raises(InputError, match="no folders of classes"):
        ImageDataset(str(write(tmp_path / "flat", "0.png")))


def command(root: Path, output: Path, *extra: str, num_classes: int = 2) -> list[str]:
    data = [f"dataloader.{part}.dataset.root={root}" for part in ("train", "test")]
    no_map = [f"dataloader.{part}.dataset.class_map=null" for part in ("train", "test")]
    classes = f"model.num_classes={num_classes}"
    return ["--config-file", RECIPE, *TINY, *data, *no_map, classes, f"train.output_dir={output}", *extra]


def accuracy(folder: Path) -> float:
    return json.loads((folder / "results.json").read_text())["accuracy"]["top1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on ape, cat and eel, whose validation data has no ape."""
    folder = tmp_path_factory.mktemp("run")
    write(folder / "data", *(f"Train/{name}/{number}.png" for name in ("ape", "cat", "eel") for number in range(4)))
    write(folder / "data", "valid/cat/0.png", "valid/eel/0.png")
    assert train(command(folder / "data", folder / "out", num_classes=3)) == 0
    return folder


def test_the_class_list_of_training_is_used_in_evaluation_and_prediction(run, tmp_path, capsys):
    assert accuracy(run / "out") == 100  # 0 if the validation data numbered its own folders
    names = [row["name"] for row in json.loads((run / "out/categories.json").read_text())["categories"]]
    assert names == ["ape", "cat", "eel"]
    weights = run / "out/model_final.pth"
    init = f"train.init_checkpoint={weights}"
    of_run = ["--config-file", str(run / "out/config.yaml"), init, f"train.output_dir={tmp_path / 'a'}"]
    assert train(["--eval-only", *of_run]) == 0
    assert train(["--eval-only", *command(run / "data", tmp_path / "b", init, num_classes=3)]) == 0
    assert accuracy(tmp_path / "a") == accuracy(tmp_path / "b") == 100

    inputs = ["--weights", str(weights), "--input", str(run / "data/valid"), "--recursive", "--device", "cpu"]
    (tmp_path / "data").mkdir()
    for config in (["--config-file", str(run / "out/config.yaml")], command(run / "data", tmp_path, num_classes=3)):
        assert predict.main([*config, *inputs, "--output", str(tmp_path / "predicted")]) == 0
        lines = (tmp_path / "predicted/classes.jsonl").read_text().splitlines()
        best = [json.loads(line)["classes"][0]["name"] for line in lines]
        assert best == ["cat", "eel"]

    (tmp_path / "order.txt").write_text("eel\ncat\nape\n")
    (tmp_path / "german.txt").write_text("Affe\nKatze\nAal\n")
    named = [*config, *inputs, "--output", str(tmp_path / "named"), "--class-names"]
    assert predict.main([*named, str(tmp_path / "order.txt")]) == 2
    assert "has 'eel' as class 0, which is 'ape' in" in capsys.readouterr().err
    assert predict.main([*named, str(tmp_path / "german.txt")]) == 0


def test_unknown_classes_are_named_before_the_model_is_built(run, tmp_path, capsys, monkeypatch):
    write(tmp_path / "data", "train/cat/0.png", "train/dog/0.png", "val/ape/0.png", "val/cat/0.png")
    monkeypatch.setattr("eva_engine.training.run.build_training_model", None)
    assert train(command(tmp_path / "data", tmp_path / "out")) == 2
    assert "has images in ape, which the class map does not list" in capsys.readouterr().err
    weights = f"train.init_checkpoint={run / 'out/model_final.pth'}"
    write(tmp_path / "other", "val/dog/0.png", "val/cat/0.png")
    monkeypatch.setattr("eva_engine.training.build.build_model", None)
    assert train(["--eval-only", *command(tmp_path / "other", tmp_path / "e", weights, num_classes=3)]) == 2
    assert "has images in dog, which the class map does not list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["dataloader.test.dataset.class_map={cat: 1, dog: 0}"], "'cat' is class 1 in the class map of"),
        (["model.num_classes=1"], "has 2 classes, but the model only 1"),
        (["dataloader.test.dataset.split=test"], "has no folder test, but train, val"),
    ],
)
def test_other_conflicts_are_named_before_the_model_is_built(tmp_path, capsys, monkeypatch, options, sentence):
    write(tmp_path / "data", *(f"{split}/{name}/0.png" for split in ("train", "val") for name in ("cat", "dog")))
    monkeypatch.setattr("eva_engine.training.run.build_training_model", None)
    assert train(command(tmp_path / "data", tmp_path / "out", *options)) == 2
    assert sentence in capsys.readouterr().err


def test_class_names_that_a_config_cannot_hold_are_refused(tmp_path, capsys):
    write(tmp_path / "data", *(f"{split}/{name}/0.png" for split in ("train", "val") for name in ("???", "dog")))
    assert train(command(tmp_path / "data", tmp_path / "out")) == 2
    assert "the class name '???' cannot be stored in a config" in capsys.readouterr().err


def test_a_resumed_run_keeps_its_list(run, capsys):
    write(run / "data", "Train/dog/0.png")
    resumed = command(run / "data", run / "out", "train.max_iter=61", num_classes=3)
    assert train(["--resume", *resumed]) == 2
    assert "has images in dog, which the class map does not list" in capsys.readouterr().err
