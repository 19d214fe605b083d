"""Records of image folders and of timm's other datasets."""

import os
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from image_folders import write_image_folders
from PIL import Image
from timm.data import ImageDataset as TimmImageDataset
from timm.data import IterableImageDataset, get_img_extensions

from eva_backbone.errors import InputError
from eva_classification.data import EvaluationMapper, ImageDataset
from eva_classification.transforms import evaluation_transform


@pytest.fixture
def image_tar(image_folder: Path, tmp_path: Path) -> Path:
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        tar.add(image_folder, arcname=".")
    return tmp_path / "images.tar"


def labels(records: ImageDataset) -> list[int]:
    found = []
    for number in range(len(records)):
        file, label = records[number]["read"]()
        file.close()
        found.append(label)
    return found


def test_folder_as_timm_reads_it(image_folder):
    records, expected = ImageDataset(str(image_folder)), TimmImageDataset(str(image_folder))
    assert len(records) == len(expected) == 12
    assert [r["file_name"] for r in records] == expected.filenames(absolute=True)
    assert labels(records) == [target for _, target in expected] == [0] * 4 + [1] * 4 + [2] * 4
    assert records.class_numbers == {"ant": 0, "bee": 1, "cat": 2}
    file, _ = records[5]["read"]()
    with file, Image.open(file) as image:
        assert image.convert("RGB").tobytes() == expected[5][0].tobytes()


def test_workers_share_one_block_of_memory(image_folder):
    assert isinstance(ImageDataset(str(image_folder))._reader.samples._lst._lst, torch.Tensor)


def test_the_split_is_found_below_the_root(tmp_path):
    write_image_folders(tmp_path / "train", per_class=3)
    write_image_folders(tmp_path / "val", per_class=2)
    assert [len(ImageDataset(str(tmp_path), split=split)) for split in ("train", "validation")] == [9, 6]


def test_a_split_that_is_missing_is_not_replaced_by_all_others(tmp_path):
    for split in ("train", "test"):
        write_image_folders(tmp_path / split, per_class=2)
    with pytest.raises(InputError, match="has no folder val, but test, train: set split to one of these"):
        ImageDataset(str(tmp_path), split="val")
    assert len(ImageDataset(str(tmp_path), split="test")) == 6


def test_a_class_may_be_called_like_a_split(tmp_path):
    records = ImageDataset(str(write_image_folders(tmp_path, classes=["bus", "train"], per_class=1)), split="val")
    assert records.class_numbers == {"bus": 0, "train": 1}


def test_classes_named_by_numbers_are_in_their_order(tmp_path):
    records = ImageDataset(str(write_image_folders(tmp_path, classes=["0", "10", "2"], per_class=1)))
    assert records.class_numbers == {"0": 0, "2": 1, "10": 2}


@pytest.mark.parametrize("as_file", [True, False])
def test_class_map_gives_the_numbers(image_folder, tmp_path, as_file):
    class_map = {"dog": 0, "cat": 1, "bee": 2, "ant": 3}
    if as_file:
        (tmp_path / "classes.txt").write_text("\ufeff" + "\n".join(class_map) + "\n\n", encoding="utf-8")
    records = ImageDataset(str(image_folder), class_map=str(tmp_path / "classes.txt") if as_file else class_map)
    assert labels(records) == [3] * 4 + [2] * 4 + [1] * 4
    assert records.class_numbers == {"ant": 3, "bee": 2, "cat": 1}


@pytest.mark.parametrize(
    ("name", "classes", "numbers"),
    [
        ("imagenet", ["n01440764", "n15075141"], [0, 999]),
        ("imagenet_a", ["n01498041", "n12267677"], [6, 988]),
        ("imagenet_v2", ["7", "12"], [7, 12]),
    ],
)
def test_class_maps_by_name(tmp_path, name, classes, numbers):
    records = ImageDataset(str(write_image_folders(tmp_path, classes=classes, per_class=1)), class_map=name)
    assert labels(records) == numbers


@pytest.mark.parametrize("source", ["image_folder", "image_tar"])
def test_class_map_may_leave_classes_out_on_request(source, request):
    records = ImageDataset(
        str(request.getfixturevalue(source)), class_map={"cat": 7, "ant": 2}, on_unlisted_class="skip"
    )
    assert labels(records) == [2] * 4 + [7] * 4
    assert [Path(r["file_name"]).parent.name for r in records] == ["ant"] * 4 + ["cat"] * 4
    assert records.class_numbers == {"ant": 2, "cat": 7}


def test_tar_file(image_tar):
    records = ImageDataset(str(image_tar))
    assert labels(records) == [0] * 4 + [1] * 4 + [2] * 4
    assert Path(records[4]["file_name"]).name == "0.png"


@pytest.mark.parametrize("source", ["image_folder", "image_tar"])
def test_images_of_every_format(source, image_folder, request):
    image = Image.open(image_folder / "bee" / "0.png")
    endings = ("webp", "TIF", "bmp", "gif", "jpg")
    for ending in endings:
        image.save(image_folder / "bee" / f"other.{ending}")
    (image_folder / "bee" / "notes.txt").write_text("not an image")
    before = get_img_extensions()
    records = ImageDataset(str(request.getfixturevalue(source)))
    assert labels(records) == [0] * 4 + [1] * (4 + len(endings)) + [2] * 4
    mapper = EvaluationMapper(evaluation_transform(28))
    assert all(mapper(record)["image"].shape == (3, 28, 28) for record in records)
    assert get_img_extensions() == before


@pytest.mark.parametrize("source", ["image_folder", "image_tar"])
def test_warning_about_fewer_classes_than_the_model_without_a_class_map(source, request, caplog):
    root = str(request.getfixturevalue(source))
    ImageDataset(root, num_classes=3)
    ImageDataset(root, num_classes=4, class_map={"ant": 0, "bee": 2, "cat": 3})
    assert all(record.levelname == "INFO" for record in caplog.records)
    ImageDataset(root, num_classes=4)
    assert "images of 3 classes, but the model has 4" in caplog.text


def test_a_class_map_below_the_root_and_one_with_a_class_twice(image_folder):
    (image_folder / "classes.txt").write_text("cat\nbee\nant\n")
    assert labels(ImageDataset(str(image_folder), class_map="classes.txt")) == [2] * 4 + [1] * 4 + [0] * 4
    (image_folder / "classes.txt").write_text("cat\nbee\ncat\nant\n")
    with pytest.raises(InputError, match=r"classes\.txt lists cat more than once"):
        ImageDataset(str(image_folder), class_map="classes.txt")


def test_pipes_do_not_block(image_folder, tmp_path):
    os.mkfifo(image_folder / "ant" / "pipe.png")
    os.mkfifo(tmp_path / "pipe.tar")
    mapper = EvaluationMapper(evaluation_transform(28))
    records = [record for record in ImageDataset(str(image_folder)) if record["file_name"].endswith("pipe.png")]
    with pytest.raises(InputError, match=r"pipe\.png: not a regular file"):
        mapper(records[0])
    with pytest.raises(InputError, match=r"pipe\.tar: not a regular file"):
        ImageDataset(str(tmp_path / "pipe.tar"))


def test_an_image_outside_the_class_folders_is_left_out_and_counted(image_folder, caplog):
    Image.new("RGB", (9, 9)).save(image_folder / "overview.png")
    records = ImageDataset(str(image_folder), class_map={"ant": 0, "bee": 1, "cat": 2})
    assert len(records) == 12
    assert "left out 1 images that are not in the folder of a class" in caplog.text


@pytest.mark.parametrize("source", ["image_folder", "image_tar"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"class_map": {"ant": 0}}, "has images in bee, cat, which the class map does not list; add"),
        ({"class_map": {"dog": 0}, "on_unlisted_class": "skip"}, "no images of any class in the class map"),
        ({"class_map": "nowhere.txt"}, "nowhere.txt: no such file with class names"),
        ({"class_map": "map.pkl"}, "class map map.pkl is not a text file"),
        ({"num_classes": 2}, "has 3 classes, but the model only 2; set the model's num_classes to 3"),
        ({"class_map": {"ant": 0, "bee": 1, "cat": 9}, "num_classes": 9}, "has 10 classes, but the model only 9"),
        ({"on_unlisted_class": "ignore"}, "on_unlisted_class is 'ignore'"),
    ],
)
def test_user_errors_are_one_sentence(source, options, sentence, request):
    with pytest.raises(InputError, match=sentence) as error:
        ImageDataset(str(request.getfixturevalue(source)), **options)
    assert "\n" not in str(error.value)


def test_folders_without_images(tmp_path):
    (tmp_path / "empty" / "ant").mkdir(parents=True)
    with pytest.raises(InputError, match="has no images; check the folder"):
        ImageDataset(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="nowhere does not exist"):
        ImageDataset(str(tmp_path / "nowhere"))


def test_a_missing_reader_is_a_user_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(InputError, match=r"wds/photos cannot be read .* install the package"):
        ImageDataset("", name="wds/photos")


def test_streams_are_refused(monkeypatch):
    stream = IterableImageDataset("", reader=object())
    monkeypatch.setattr("eva_classification.data.image_dataset.create_dataset", lambda *_args, **_options: stream)
    with pytest.raises(InputError, match="wds/photos gives its images as a stream"):
        ImageDataset("", name="wds/photos")


def test_labels_without_names_are_refused(monkeypatch):
    reader = SimpleNamespace(class_to_idx={}, filename=lambda *_args, **_options: "", __len__=lambda: 1)
    dataset = SimpleNamespace(reader=reader)
    monkeypatch.setattr("eva_classification.data.image_dataset.create_dataset", lambda *_args, **_options: dataset)
    with pytest.raises(InputError, match=r"hfds/photos has no names of classes: .* not a ClassLabel; convert it"):
        ImageDataset("", name="hfds/photos")
    assert ImageDataset("", name="hfds/photos", has_labels=False).class_numbers == {}
