"""Folder names of ImageNet's test sets."""

import json
from pathlib import Path

import pytest

from eva_backbone.errors import InputError
from eva_classification.data import imagenet_classes, imagenet_v2_classes, objectnet_classes
from eva_classification.data.class_maps import read_objectnet

FILES = {
    "folder_to_objectnet_label.json": {"alarm_clock": "Alarm clock", "bench": "Bench", "aglet": "Aglet"},
    "objectnet_to_imagenet_1k.json": {"Alarm clock": "digital clock; analog clock, face", "Bench": "park bench"},
    "pytorch_to_imagenet_2012_id.json": {"0": 2, "1": 0, "2": 1},
    "imagenet_to_label_2012_v2": "analog clock, face\npark bench\ndigital clock\n",
}


def write_mappings(root: Path, first: int = 0, **changed: object) -> str:
    (root / "mappings").mkdir()
    for name, content in {**FILES, **changed}.items():
        if name == "pytorch_to_imagenet_2012_id.json" and isinstance(content, dict):
            content = {number: line + first for number, line in content.items()}
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "mappings" / name).write_text(text)
    return str(root)


def test_numbers_of_imagenet_are_those_of_sorted_names():
    classes = imagenet_classes()
    assert list(classes.values()) == list(range(1000))
    assert list(classes) == sorted(classes)
    assert classes["n01440764"] == 0
    for subset in ("imagenet_a", "imagenet_r"):
        part = imagenet_classes(subset)
        assert len(part) == 200
        assert part.items() <= classes.items()
        assert list(part.values()) == sorted(part.values())
    assert len(imagenet_classes("imagenet_a").keys() & imagenet_classes("imagenet_r").keys()) == 86
    with pytest.raises(InputError, match="unknown subset of ImageNet's classes 'imagenet_c'"):
        imagenet_classes("imagenet_c")


def test_folders_of_imagenet_v2_are_numbers():
    assert imagenet_v2_classes()["417"] == 417
    assert len(imagenet_v2_classes()) == 1000


@pytest.mark.parametrize("first", [0, 1])
def test_objectnet_lists_all_classes_of_a_folder(tmp_path, first):
    root = write_mappings(tmp_path, first)
    assert read_objectnet(root) == {"alarm_clock": (0, 1), "bench": (2,)}
    assert objectnet_classes(root) == {"alarm_clock": 0, "bench": 1}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"imagenet_to_label_2012_v2": "analog clock, face\n"}, "are inconsistent"),
        ({"objectnet_to_imagenet_1k.json": {"Bench": "sofa"}}, "are inconsistent: 'sofa' is missing"),
        ({"folder_to_objectnet_label.json": "{"}, "not valid JSON.*give the folder to which the dataset was unpacked"),
        ({"pytorch_to_imagenet_2012_id.json": "[1]"}, "are inconsistent"),
    ],
)
def test_bad_mappings_of_objectnet(tmp_path, changed, sentence):
    with pytest.raises(InputError, match=sentence):
        read_objectnet(write_mappings(tmp_path, **changed))


def test_missing_mappings_of_objectnet(tmp_path):
    with pytest.raises(InputError, match="give the folder to which the dataset was unpacked"):
        read_objectnet(str(tmp_path))
