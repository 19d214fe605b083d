"""Each evaluation recipe on a few synthetic images in the layout of its dataset."""

import json
from pathlib import Path

import pytest
from detectron2.config import instantiate
from image_folders import write_image_folders

from eva_backbone.errors import InputError
from eva_classification.data import imagenet_classes
from eva_engine.config import load_config
from eva_engine.training import evaluate

CONFIGS = Path(__file__).parents[2] / "projects" / "Classification" / "configs"
SMALL = [
    *("model.embed_dim=32", "model.depth=1", "model.num_heads=2", "model.img_size=28"),
    *("dataloader.test.num_workers=0", "train.device=cpu"),
]
VALIDATION_NAMES = "ILSVRC2012_val_{:08d}.JPEG"
MAPPINGS = {
    "folder_to_objectnet_label.json": json.dumps({"alarm_clock": "Alarm clock", "aglet": "Aglet"}),
    "objectnet_to_imagenet_1k.json": json.dumps({"Alarm clock": "digital clock; analog clock"}),
    "pytorch_to_imagenet_2012_id.json": json.dumps({"409": 0, "530": 1}),
    "imagenet_to_label_2012_v2": "analog clock\ndigital clock\n",
}


def make_real(root: Path) -> None:
    write_image_folders(root / "imagenet" / "val", classes=["n01440764", "n02123045"], per_class=3)
    for number, file in enumerate(sorted(root.glob("imagenet/val/*/*.png")), start=1):
        file.rename(file.with_name(VALIDATION_NAMES.format(number)))


def make_objectnet(root: Path) -> None:
    write_image_folders(root / "objectnet-1.0" / "images", classes=["alarm_clock", "aglet"], per_class=3)
    (root / "objectnet-1.0" / "mappings").mkdir()
    for name, text in MAPPINGS.items():
        (root / "objectnet-1.0" / "mappings" / name).write_text(text)


def make_subset(root: Path, name: str) -> None:
    write_image_folders(root / f"imagenet-{name}", classes=list(imagenet_classes(f"imagenet_{name}"))[5:8], per_class=3)


# What makes the dataset; numbers of the classes; images that count, and that count in published numbers.
SETS = {
    "imagenet_v2": (
        lambda root: write_image_folders(root / "imagenetv2-matched-frequency-format-val", classes=["3", "20", "100"]),
        {"3": 3, "20": 20, "100": 100},
        (12, 12),
    ),
    "imagenet_real": (make_real, {"n01440764": 0, "n02123045": 281}, (6, 6)),
    "imagenet_a": (
        lambda root: make_subset(root, "a"),
        dict(list(imagenet_classes("imagenet_a").items())[5:8]),
        (9, 16),
    ),
    "imagenet_r": (
        lambda root: make_subset(root, "r"),
        dict(list(imagenet_classes("imagenet_r").items())[5:8]),
        (9, 16),
    ),
    "imagenet_sketch": (
        lambda root: write_image_folders(root / "imagenet-sketch", classes=["n02123045", "n15075141"]),
        {"n02123045": 281, "n15075141": 999},
        (8, 8),
    ),
    "objectnet": (make_objectnet, {"alarm_clock": 0}, (3, 8)),
    "objectnet_published": (make_objectnet, {"alarm_clock": 0}, (3, 8)),
}


@pytest.mark.parametrize("name", SETS)
def test_recipe_reads_and_scores_its_data_set(name, tmp_path, monkeypatch):
    make, numbers, counts = SETS[name]
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    make(tmp_path)
    cfg = load_config(str(CONFIGS / f"evaluate_{name}.py"), [*SMALL, f"train.output_dir={tmp_path}"])
    loader = instantiate(cfg.dataloader.test)
    assert loader.dataset.class_numbers == numbers
    assert (len(loader.dataset), loader.num_samples) == counts
    results = evaluate(cfg, instantiate(cfg.model))
    assert results.keys() == {"accuracy", "accuracy_published"}
    assert 0 <= results["accuracy"]["top1"] <= results["accuracy"]["top5"] <= 100
    assert ("loss" in results["accuracy"]) == (name not in ("imagenet_real", "objectnet", "objectnet_published"))
    assert ("loss" in results["accuracy_published"]) == (name != "imagenet_real")


def test_a_folder_of_another_data_set_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    write_image_folders(
        tmp_path / "imagenet-a", classes=["n01440764"]
    )  # a class of ImageNet-1K that the set does not have
    cfg = load_config(str(CONFIGS / "evaluate_imagenet_a.py"), SMALL)
    with pytest.raises(InputError, match="has images in n01440764, which the class map does not list"):
        instantiate(cfg.dataloader.test)
