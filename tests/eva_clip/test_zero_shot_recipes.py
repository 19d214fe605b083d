"""Each recipe of zero-shot accuracy and of retrieval, on a few synthetic images in the layout of its dataset."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from PIL import Image

from eva_backbone.errors import InputError
from eva_classification.data import imagenet_classes
from eva_engine.commands.train import main
from eva_engine.config import load_config
from eva_engine.training import evaluate

CONFIGS = Path(__file__).parents[2] / "projects" / "CLIP" / "configs"
TINY = [
    *("model.name=eva_clip_tiny", "model.output_dim=16", "model.visual.img_size=28", "model.visual.embed_dim=32"),
    *("model.visual.depth=1", "model.visual.num_heads=2", "model.text.context_length=32", "model.text.width=16"),
    *("model.text.num_layers=1", "dataloader.test.num_workers=0", "train.device=cpu"),
]
TWO_TEMPLATES = "dataloader.test.templates=['a {}.','{}']"
MAPPINGS = {
    "folder_to_objectnet_label.json": json.dumps({"alarm_clock": "Alarm Clock", "aglet": "Aglet", "bench": "Bench"}),
    "objectnet_to_imagenet_1k.json": json.dumps({"Alarm Clock": "digital clock; analog clock", "Bench": "park bench"}),
    "pytorch_to_imagenet_2012_id.json": json.dumps({"409": 0, "530": 1, "703": 2}),
    "imagenet_to_label_2012_v2": "analog clock\ndigital clock\npark bench\n",
}


def make_images(root: Path, folders: list[str], name: str = "{}.png") -> None:
    generator = np.random.default_rng(0)
    number = 0
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for _ in range(2):
            number += 1
            pixels = generator.integers(0, 256, (30, 34, 3), np.uint8)
            Image.fromarray(pixels).save(root / folder / name.format(number), format="PNG")


def make_objectnet(root: Path) -> None:
    make_images(root / "objectnet-1.0" / "images", ["aglet", "alarm_clock", "bench"])
    (root / "objectnet-1.0" / "mappings").mkdir()
    for name, text in MAPPINGS.items():
        (root / "objectnet-1.0" / "mappings" / name).write_text(text)


def make_subset(root: Path, name: str) -> None:
    make_images(root / f"imagenet-{name}", list(imagenet_classes(f"imagenet_{name}"))[5:8])


VALIDATION = ["n01440764", "n02123045"]
# Function that writes the dataset, class numbers of its folders, number of class names, number of images.
SETS = {
    "in1k": (
        lambda root: make_images(root / "imagenet/val", VALIDATION),
        {VALIDATION[0]: 0, VALIDATION[1]: 281},
        1000,
        4,
    ),
    "imagenet_v2": (
        lambda root: make_images(root / "imagenetv2-matched-frequency-format-val", ["3", "20"]),
        {"3": 3, "20": 20},
        1000,
        4,
    ),
    "imagenet_a": (lambda root: make_subset(root, "a"), {5, 6, 7}, 200, 6),
    "imagenet_r": (lambda root: make_subset(root, "r"), {5, 6, 7}, 200, 6),
    "imagenet_sketch": (lambda root: make_images(root / "imagenet-sketch", ["n15075141"]), {"n15075141": 999}, 1000, 2),
    "imagenet_real": (
        lambda root: make_images(root / "imagenet/val", VALIDATION, "ILSVRC2012_val_{:08d}.JPEG"),
        {VALIDATION[0]: 0, VALIDATION[1]: 281},
        1000,
        4,
    ),
    "objectnet": (make_objectnet, {"alarm_clock": 0, "bench": 1}, 2, 4),
    "folder": (lambda root: make_images(root / "own", ["red_fox", "ant"]), {"ant": 0, "red_fox": 1}, 2, 4),
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", SETS)
def test_recipe_reads_and_scores_its_data_set(name, root):
    make, numbers, num_classes, num_images = SETS[name]
    make(root)
    options = [*TINY, TWO_TEMPLATES, f"train.output_dir={root}"]
    if name == "folder":
        options.append(f"dataloader.test.dataset.root={root / 'own'}")
    cfg = load_config(str(CONFIGS / f"zero_shot_{name}.py"), options)
    loader = instantiate(cfg.dataloader.test)
    found = loader.dataset.class_numbers
    assert (set(found.values()) if isinstance(numbers, set) else found) == numbers
    assert len(loader.dataset) == num_images
    texts = [text for text, _ in loader.texts.texts]
    assert len(texts) == 2 * num_classes
    if name == "objectnet":
        assert texts == ["a alarm clock.", "alarm clock", "a bench.", "bench"]
    if name == "folder":
        assert texts[1::2] == ["ant", "red fox"]
    torch.manual_seed(1)
    results = evaluate(cfg, instantiate(cfg.model).eval())["zero_shot"]
    assert 0 <= results["top1"] <= results["top5"] <= 100
    if name != "imagenet_real":  # where images may have several right classes
        assert 0 <= results["mean_recall"] <= 100
    assert json.loads((root / "results.json").read_text()).keys() == {"zero_shot"}


@pytest.mark.parametrize("name", [path.stem for path in CONFIGS.glob("zero_shot_*.py")])
def test_settings_of_the_published_numbers(name):
    """Eighty templates, the centre of an image whose shorter side is 224 pixels, every image once."""
    cfg = load_config(str(CONFIGS / f"{name}.py"))
    test = cfg.dataloader.test
    assert test.templates == ("a photo of a {}." if name == "zero_shot_folder" else "imagenet_80")
    transform = instantiate(test.mapper.transform)
    assert transform(Image.new("RGB", (300, 500))).shape == (3, 224, 224)
    assert [type(step).__name__ for step in transform.transforms[:2]] == ["Resize", "CenterCrop"]
    assert test.mapper.get("border", 0) == 0
    assert instantiate(test.tokenizer).context_length == 77


@pytest.mark.parametrize("name", ["coco", "flickr30k"])
def test_retrieval(name, root):
    where = {
        "coco": (root / "coco/annotations/dataset_coco.json", root / "coco", {"filepath": "val2014"}),
        "flickr30k": (root / "flickr30k/dataset_flickr30k.json", root / "flickr30k", {}),
    }
    file, images, extra = where[name]
    make_images(images, ["val2014" if name == "coco" else "flickr30k-images"])
    file.parent.mkdir(exist_ok=True)
    entry = {"sentences": [{"raw": "a fox"}, {"raw": "a quick fox"}], "split": "test", **extra}
    file.write_text(json.dumps({"images": [{**entry, "filename": f"{number}.png"} for number in (1, 2)]}))
    cfg = load_config(str(CONFIGS / f"retrieval_{name}.py"), [*TINY, f"train.output_dir={root}"])
    results = evaluate(cfg, instantiate(cfg.model).eval())
    assert results["text_to_image"] == {"R@1": 50, "R@5": 100, "R@10": 100}  # equal captions find the same image
    assert results["image_to_text"]["R@5"] == 100


def test_the_command_evaluates_weights(root):
    make_images(root / "imagenet/val", VALIDATION)
    cfg = load_config(str(CONFIGS / "zero_shot_in1k.py"), TINY)
    torch.save({"model": instantiate(cfg.model).state_dict()}, root / "tiny.pt")
    options = [*TINY, "dataloader.test.templates='{}'", f"train.output_dir={root / 'out'}"]
    options += [f"train.init_checkpoint={root / 'tiny.pt'}", "train.checkpointer.best_metric=zero_shot/mean_recall"]
    assert main(["--config-file", str(CONFIGS / "zero_shot_in1k.py"), "--eval-only", *options]) == 0
    results = json.loads((root / "out/results.json").read_text())["zero_shot"]
    assert results.keys() == {"top1", "top5", "loss", "mean_recall"}
    assert "Zero-shot accuracy over 4 images and 1000 classes" in (root / "out/log.txt").read_text()


def test_names_that_do_not_fit_the_folders(root):
    make_images(root / "own", ["ant", "bee", "cat"])
    (root / "names.txt").write_text("ant\nbee\n")
    options = [
        *TINY,
        f"dataloader.test.dataset.root={root / 'own'}",
        f"dataloader.test.class_names={root / 'names.txt'}",
    ]
    cfg = load_config(str(CONFIGS / "zero_shot_folder.py"), options)
    with pytest.raises(InputError, match="class numbers up to 2, but there are 2 class names"):
        instantiate(cfg.dataloader.test)
