"""The built-in datasets and looking them up."""

import json
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from synthetic_coco import noise_image

from detectron2_ext.data import OBJECTS365_CLASSES, get_dataset_dicts, register_builtin_datasets
from eva_backbone.errors import InputError
from eva_engine.data import dataset_root

_NAMES = ("lvis_v1_val_5k", "lvis_v1_val_cocofied", "objects365_train", "objects365_val")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Register the built-in datasets under `tmp_path` for one test."""
    before = {name: (DatasetCatalog.pop(name), MetadataCatalog.pop(name)) for name in _NAMES}
    register_builtin_datasets(str(tmp_path))
    yield tmp_path
    for name, (loader, metadata) in before.items():
        DatasetCatalog[name] = loader
        MetadataCatalog[name] = metadata


@pytest.mark.parametrize(
    ("name", "json_file", "evaluator", "num_classes", "first"),
    [
        ("lvis_v1_val_5k", "lvis/lvis_v1_val_5k.json", "lvis", 1203, "aerosol_can"),
        ("lvis_v1_val_cocofied", "lvis/lvis_v1_val_5k_cocofied.json", "lvis", 80, "person"),
        ("objects365_train", "Objects365/annotations/zhiyuan_objv2_train.json", "coco", 365, "Person"),
        ("objects365_val", "Objects365/annotations/zhiyuan_objv2_val.json", "coco", 365, "Person"),
    ],
)
def test_metadata(root, name, json_file, evaluator, num_classes, first):
    metadata = MetadataCatalog.get(name)
    assert metadata.json_file == str(root / json_file)
    assert metadata.evaluator_type == evaluator
    assert (len(metadata.thing_classes), metadata.thing_classes[0]) == (num_classes, first)


@pytest.mark.parametrize("name", [*_NAMES, "coco_2017_val", "lvis_v1_train"])
def test_missing_file(root, name, monkeypatch):
    if name in _NAMES:
        monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    with pytest.raises(InputError) as caught:
        get_dataset_dicts(name)
    sentence = str(caught.value)
    assert sentence.startswith(f"{MetadataCatalog.get(name).json_file}: no such annotation file")
    assert f"{name!r} is expected under DETECTRON2_DATASETS" in sentence


def test_missing_file_of_a_custom_dataset(tmp_path):
    register_coco_instances("users_own", {}, str(tmp_path / "own.json"), str(tmp_path))
    with pytest.raises(InputError, match=r"own\.json: no such .* 'users_own' was registered with this path"):
        get_dataset_dicts("users_own")


@pytest.mark.parametrize(("category", "problem"), [(3, "category_id=3 for a dataset of 2"), (None, "No valid data")])
def test_errors_found_by_detectron2_are_reported(category, problem, monkeypatch):
    annotations = [] if category is None else [{"category_id": category, "bbox": [0, 0, 2, 2], "iscrowd": 0}]
    name = f"wrong {category}"
    DatasetCatalog.register(name, lambda: [{"file_name": "a.jpg", "annotations": annotations}])
    monkeypatch.setattr(MetadataCatalog.get(name), "thing_classes", ["a", "b"], raising=False)
    with pytest.raises(InputError, match=f"^Dataset {name}: .*{problem}.*; check its annotation file"):
        get_dataset_dicts(name)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [("coco_2017_vall", "did you mean coco_2017_val"), ("%", "register it with register_coco_json")],
)
def test_unknown_name(name, fragment):
    with pytest.raises(InputError, match=f"No dataset is registered as {name!r}; {fragment}"):
        get_dataset_dicts(name)


def test_registering_twice_changes_nothing(root):
    loader = DatasetCatalog["objects365_val"]
    register_builtin_datasets(str(root / "elsewhere"))
    assert DatasetCatalog["objects365_val"] is loader


def test_root_is_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/somewhere")
    assert dataset_root() == str(Path.home() / "somewhere")
    monkeypatch.delenv("DETECTRON2_DATASETS")
    assert dataset_root() == "datasets"


def _objects365(names: list[str]) -> dict:
    return {
        "images": [
            {"id": 5, "file_name": "images/v1/patch0/objects365_v1_00000001.jpg", "width": 40, "height": 30},
            {"id": 6, "file_name": "images/v1/patch0/objects365_v1_00000002.jpg", "width": 40, "height": 30},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 365, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0, "isfake": 0},
            {"id": 2, "image_id": 6, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0, "isfake": 0},
        ],
        "categories": [{"id": index, "name": name} for index, name in enumerate(names, start=1)],
    }


def _write_objects365(root: Path, content: dict) -> None:
    (root / "Objects365/annotations").mkdir(parents=True)
    (root / "Objects365/annotations/zhiyuan_objv2_val.json").write_text(json.dumps(content))
    (root / "Objects365/images/v1/patch0").mkdir(parents=True)
    noise_image(30, 40).save(root / "Objects365/images/v1/patch0/objects365_v1_00000001.jpg")


def test_objects365_records(root):
    """Some published names are spelled differently from the table; a listed image without a file is skipped."""
    names = [{"Camel": "Campel", "Formula 1": "Formula 1 "}.get(name, name) for name in OBJECTS365_CLASSES]
    _write_objects365(root, _objects365(names))
    (record,) = get_dataset_dicts("objects365_val")
    assert record["image_id"] == 5
    assert Path(record["file_name"]).is_file()
    assert [annotation["category_id"] for annotation in record["annotations"]] == [364]


@pytest.mark.parametrize(
    ("names", "fragment"),
    [
        ([f"class {index}" for index in range(365)], "only 0 of 365 class names are those of objects365_val"),
        ([*OBJECTS365_CLASSES, "one more"], "category id 366 is not one of the 365 ids of objects365_val"),
    ],
)
def test_another_dataset_instead_of_objects365(root, names, fragment):
    _write_objects365(root, _objects365(names))
    with pytest.raises(InputError, match=fragment):
        get_dataset_dicts("objects365_val")


def test_objects365_names():
    assert len(OBJECTS365_CLASSES) == len(set(OBJECTS365_CLASSES)) == 365
    known = {
        0: "Person",
        5: "Car",
        12: "Cabinet/shelf",
        92: "Dog",
        139: "Cat",
        228: "Hot-air balloon",
        364: "Table Tennis",
    }
    assert {index: OBJECTS365_CLASSES[index] for index in known} == known


def test_lvis_records(root):
    categories = [{"id": index, "name": str(index), "synset": "", "frequency": "f"} for index in range(1, 1204)]
    content = {
        "images": [
            {
                "id": 9,
                "width": 40,
                "height": 30,
                "coco_url": "http://images.cocodataset.org/val2017/000000000009.jpg",
                "neg_category_ids": [3],
                "not_exhaustive_category_ids": [],
            }
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 9,
                "category_id": 1203,
                "bbox": [0, 0, 5, 5],
                "area": 25,
                "segmentation": [[0, 0, 5, 0, 5, 5]],
            }
        ],
        "categories": categories,
    }
    (root / "lvis").mkdir()
    (root / "lvis/lvis_v1_val_5k.json").write_text(json.dumps(content))
    (record,) = get_dataset_dicts("lvis_v1_val_5k")
    assert record["file_name"] == str(root / "coco/val2017/000000000009.jpg")
    assert record["annotations"][0]["category_id"] == 1202
    content["annotations"][0]["category_id"] = 90
    (root / "lvis/lvis_v1_val_5k_cocofied.json").write_text(json.dumps(content))
    (record,) = get_dataset_dicts("lvis_v1_val_cocofied")
    assert record["annotations"][0]["category_id"] == 79
