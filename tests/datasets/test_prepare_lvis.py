"""LVIS v1 val: the val2017 part, and its reduction to the COCO classes."""

import importlib
import json

import pytest
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from detectron2.data.datasets.lvis_v1_categories import LVIS_CATEGORIES
from script_runs import SCRIPTS, run_script


def _id_of(synset: str) -> int:
    return next(category["id"] for category in LVIS_CATEGORIES if category["synset"] == synset)


@pytest.fixture
def root(tmp_path):
    """A synthetic lvis_v1_val.json: two images of val2017, one of train2017."""

    def image(image_id: int, split: str) -> dict:
        return {
            "id": image_id,
            "width": 40,
            "height": 30,
            "coco_url": f"http://images.cocodataset.org/{split}/{image_id:012d}.jpg",
            "neg_category_ids": [_id_of("apple.n.01"), 1],
            "not_exhaustive_category_ids": [_id_of("sausage.n.01")],
        }

    def annotation(annotation_id: int, image_id: int, category_id: int) -> dict:
        return {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": category_id,
            "bbox": [1, 2, 3, 4],
            "area": 12.0,
            "segmentation": [[1, 2, 4, 2, 4, 6]],
        }

    content = {
        "info": {"year": 2020},
        "images": [image(1, "val2017"), image(2, "train2017"), image(3, "val2017")],
        "annotations": [
            annotation(11, 1, _id_of("person.n.01")),
            annotation(12, 2, _id_of("person.n.01")),
            annotation(13, 3, _id_of("sausage.n.01")),
            annotation(14, 3, 1),
        ],
        "categories": [{**category, "image_count": 1} for category in LVIS_CATEGORIES],
    }
    (tmp_path / "lvis").mkdir()
    (tmp_path / "lvis" / "lvis_v1_val.json").write_text(json.dumps(content))
    return tmp_path


def test_default_paths_lead_from_val_to_the_registered_files(root):
    done = run_script("prepare_lvis_val_5k.py", root=root)
    assert done.returncode == 0, done.stderr
    assert "2 of 3 images, 3 of 4 annotations" in done.stdout
    part = json.loads((root / "lvis" / "lvis_v1_val_5k.json").read_text())
    assert [image["id"] for image in part["images"]] == [1, 3]
    assert [annotation["id"] for annotation in part["annotations"]] == [11, 13, 14]
    assert len(part["categories"]) == 1203
    assert part["info"] == {"year": 2020}

    done = run_script("prepare_lvis_cocofied.py", root=root)
    assert done.returncode == 0, done.stderr
    assert "2 images, 2 of 3 annotations, 80 classes" in done.stdout
    reduced = json.loads((root / "lvis" / "lvis_v1_val_5k_cocofied.json").read_text())
    assert [(a["id"], a["category_id"]) for a in reduced["annotations"]] == [(11, 1), (13, 58)]
    assert reduced["images"][0]["neg_category_ids"] == [53]
    assert reduced["images"][0]["not_exhaustive_category_ids"] == [58]
    coco = {category["id"]: category["name"] for category in COCO_CATEGORIES if category["isthing"]}
    assert [category["id"] for category in reduced["categories"]] == sorted(coco)


def test_synsets_mean_the_coco_classes(monkeypatch):
    """Every synset is an LVIS v1 category, and the names agree where LVIS uses the name of COCO."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    synsets = importlib.import_module("coco_synsets").COCO_SYNSETS
    coco = {category["id"]: category["name"] for category in COCO_CATEGORIES if category["isthing"]}
    lvis = {category["synset"]: category["synonyms"] for category in LVIS_CATEGORIES}
    assert synsets.keys() == coco.keys()
    assert len(set(synsets.values())) == 80
    words = {key: {word.split("_(")[0].replace("_", " ") for word in lvis[synset]} for key, synset in synsets.items()}
    other_word = {coco[key]: sorted(words[key])[0] for key in coco if coco[key] not in words[key]}
    assert other_word == {
        "skis": "ski",
        "sports ball": "ball",
        "wine glass": "wineglass",
        "hot dog": "sausage",
        "potted plant": "flowerpot",
        "laptop": "laptop computer",
        "remote": "remote control",
        "cell phone": "cellphone",
        "microwave": "microwave oven",
        "hair drier": "hair dryer",
    }
