"""Class names and ids: their sources, and checks against the model."""

import json

import pytest
from omegaconf import OmegaConf

from detectron2_ext.prediction.detector_categories import find_categories, match_categories
from eva_backbone.errors import InputError
from eva_engine.prediction.categories import Categories, read_categories

CELLS = {"categories": [{"id": 9, "name": "dividing"}, {"id": 4, "name": "Zellkern ä"}]}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("names.txt", "\ufeffcat\n dog \n\n", (("cat", "dog"), (0, 1))),
        ("names.json", '["cat", "dog"]', (("cat", "dog"), (0, 1))),
        ("annotations.json", json.dumps(CELLS), (("Zellkern ä", "dividing"), (4, 9))),
    ],
)
def test_files(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_categories(tmp_path / name) == Categories(*expected)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", ""),
        ("a.json", "[]"),
        ("a.json", "[1, 2]"),
        ("a.json", "{}"),
        ("a.json", "{"),
        ("a.json", '{"categories": [7]}'),
        ("a.json", "[" * 100_000),
        ("a.txt", b"\xff\xfe\x00"),
        ("a.txt", None),
    ],
)
def test_unusable_files_are_named(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"class names|categories|not valid JSON") as error:
        read_categories(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("dataset", "num_classes", "index", "name", "category_id"),
    [
        ("coco_2017_val", 80, 79, "toothbrush", 90),
        ("lvis_v1_val", 1203, 1202, "zucchini", 1203),
        ("objects365_val", 365, 0, "Person", 1),
    ],
)
def test_registered_data_sets(tmp_path, dataset, num_classes, index, name, category_id):
    cfg = OmegaConf.create({"dataloader": {"test": {"dataset": {"names": dataset}}}})
    categories, source = find_categories(cfg, tmp_path / "weights.pth")
    assert len(categories.names) == len(categories.ids) == num_classes
    assert (categories.names[index], categories.ids[index]) == (name, category_id)
    assert dataset in source


def test_names_of_a_training_run_come_first(tmp_path):
    cfg = OmegaConf.create({"dataloader": {"test": {"dataset": {"names": "coco_2017_val"}}}})
    (tmp_path / "categories.json").write_text(json.dumps(CELLS))
    assert find_categories(cfg, tmp_path / "model.pth")[0].names == ("Zellkern ä", "dividing")
    cfg.dataloader.categories = [{"id": 3, "name": "own"}]
    assert find_categories(cfg, tmp_path / "model.pth")[0] == Categories(("own",), (3,))


def test_unknown_data_set_has_numbered_classes(tmp_path):
    cfg = OmegaConf.create({"dataloader": {"test": {"dataset": {"names": ["nobody_registered_this"]}}}})
    categories, source = find_categories(cfg, tmp_path / "weights.pth")
    assert match_categories(categories, 2, source) == Categories(("class 0", "class 1"), (0, 1))


def test_wrong_number_of_names():
    with pytest.raises(InputError, match=r"names.txt has 2 class names, but the model has 3"):
        match_categories(Categories(("a", "b"), (0, 1)), 3, "names.txt")
