"""Class names and ids: their sources, and checks against the model."""

import json

import pytest
from omegaconf import OmegaConf

import detectron2_ext.data  # noqa: F401 (registers Objects365)
from detectron2_ext.prediction.detector_categories import find_categories, match_categories
from eva_backbone.errors import InputError
from eva_engine.prediction.categories import Categories, check_class_map, read_categories

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
        ("a.json", "[[1], 2]"),
        ("a.json", '["a", null]'),
        ("a.json", '["a", " "]'),
        ("a.json", "[1.5, true]"),
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
    with pytest.raises(InputError, match=r"class names|name of class|categories|not valid JSON|is empty") as error:
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


def test_whole_numbers_are_names_too():
    """Such as the folders 0 to 9, which a config has without quotes."""
    assert check_class_map([3, "b"], "classes") == check_class_map({"3": 0, "b": 1}, "classes") == {"3": 0, "b": 1}


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (5, "classes: 5 is not a list of class names"),
        ("abc", "classes: 'abc' is not a list of class names"),
        ([], "classes is empty; give one name per class"),
        (["a", ["b"]], r"the name of class 1 is \['b'\]"),
        ([None], "the name of class 0 is None"),
        ([1, "1"], "classes lists 1 more than once"),
        ({"a": 0, "b": "one"}, "the index of b is 'one'"),
        ({"a": -1}, "the index of a is -1"),
        ({"a": [0]}, r"the index of a is \[0\]"),
        ([f"{n % 999_999}" for n in range(10**6)], "lists 0 more than once"),
        (["a" * 10**6] * 2, "more than once"),
    ],
)
def test_odd_class_lists_are_one_sentence(classes, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        check_class_map(OmegaConf.create({"x": classes}).x if len(str(classes)) < 99 else classes, "classes")
    assert len(str(error.value)) < 300
