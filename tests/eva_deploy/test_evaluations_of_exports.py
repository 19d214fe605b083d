"""`evaluate` gives for an exported model of every task and format what it gives for the original.

The weights are random. So that metrics are neither 0 nor 100, half of the labels are what the original predicts. With
EVA_ALL_EXPORTS set, as in `.ci/run --full`, all formats are evaluated, otherwise ONNX only, except for classification.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_exports import SMALL, TinyModel, export, tiny_classifier, tiny_model, write_photos

import eva_vision
from eva_classification.data.class_maps import imagenet_classes
from eva_deploy.formats.table import FORMATS
from eva_engine.commands.verbs import main
from tests.eva_semseg.tiny_semseg_recipe import write_halves
from tests.eva_video.conftest import COLOURS, write_video

LOCAL = ("dataloader.test.num_workers=0", "train.device=cpu")
TOLERANCE = 0.1  # metrics are percentages
USUAL_FORMATS = tuple(FORMATS) if "EVA_ALL_EXPORTS" in os.environ else ("onnx",)


def original(tiny: TinyModel) -> eva_vision.Model:
    return eva_vision.load(tiny.weights, config_file=tiny.recipe, overrides=tiny.overrides, device="cpu")


def evaluate(arguments: list[str], folder: Path) -> dict[str, float]:
    """Evaluate, and return the metrics by their names, joined with dots."""
    assert main(["evaluate", *arguments, *LOCAL, f"train.output_dir={folder}"]) == 0
    return flat(json.loads((folder / "results.json").read_text()))


def flat(results: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in results.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{name}."))
        elif isinstance(value, float):
            found[prefix + name] = value
    return found


def assert_the_same(
    tiny: TinyModel,
    images: Path,
    data: list[str],
    metric: str,
    folder: Path,
    tolerance: float = TOLERANCE,
    formats: Iterable[str] = USUAL_FORMATS,
) -> None:
    """Export a model in some formats, and compare the metrics of the files with those of the model.

    Args:
        tiny: The model.
        images: Folder of images or videos for the export.
        data: Arguments with the data to evaluate on.
        metric: Metric that must say something.
        folder: Folder to write to.
        tolerance: Largest difference of a metric.
        formats: The formats.
    """
    expected = evaluate([*tiny.arguments, *data], folder / "original")
    assert 5 < expected[metric] < 95
    for name in formats:
        file = export(tiny, folder / name, name, images).files[0]
        arguments = ["--weights", str(file), "--trust-recipe", str(file), *data]
        found = evaluate(arguments, folder / f"evaluated {name}")
        assert found == pytest.approx(expected, abs=tolerance), name


def test_classification(tmp_path):
    tiny = tiny_classifier(tmp_path)
    photos, ids = write_photos(tmp_path / "photos", 8), list(imagenet_classes())
    for number, result in enumerate(original(tiny).predict(photos)):
        folder = tmp_path / "val" / ids[(result.class_ids[0] + number % 2) % 1000]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / f"{number}.png", folder)
    data = [f"dataloader.test.dataset.root={tmp_path / 'val'}"]
    assert_the_same(tiny, photos, data, "accuracy.top1", tmp_path, tolerance=1e-4, formats=FORMATS)


def test_detection(tmp_path):
    sizes = ("embed_dim=24", "depth=1", "num_heads=2", "window_block_indexes=[]")
    recipe = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
    tiny = tiny_model(tmp_path, recipe, tuple(f"model.backbone.net.{size}" for size in sizes))
    photos = write_photos(tmp_path / "photos", 3)
    images, annotations = [], []
    for number, result in enumerate(original(tiny).predict(photos, score_threshold=0.0)):
        found = result.to_dict()
        images.append({"id": number, "file_name": f"{number}.png", "width": found["width"], "height": found["height"]})
        for index, detection in enumerate(found["detections"][::2]):
            _, _, width, height = detection["bbox"]
            item = {"bbox": detection["bbox"], "segmentation": detection["segmentation"], "area": width * height}
            annotations.append(
                {**item, "id": 100 * number + index + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nucleus"}]}
    (tmp_path / "val.json").write_text(json.dumps(content))
    data = ["--val-json", str(tmp_path / "val.json"), "--val-images", str(photos)]
    assert_the_same(tiny, photos, data, "bbox.AP", tmp_path)


def test_zero_shot_classification(tmp_path):
    sizes = ("visual.img_size=28", "visual.embed_dim=16", "visual.depth=1", "visual.num_heads=2")
    text = ("text.context_length=32", "text.width=16", "text.num_layers=1")
    overrides = tuple(f"model.{change}" for change in ("name=eva_clip_tiny", "output_dim=8", *sizes, *text))
    tiny = tiny_model(tmp_path, "projects/CLIP/configs/zero_shot_folder.py", overrides)
    photos = write_photos(tmp_path / "photos", 6)
    names = ["ant", "red fox"]
    texts = [f"a photo of a {name}." for name in names]
    for number, result in enumerate(original(tiny).predict(photos, labels=texts)):
        # A third of the labels is wrong.
        label = names[(result.class_ids[0] + (number % 3 == 0)) % 2]
        folder = tmp_path / "val" / label.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / f"{number}.png", folder)
    for name in names:
        Image.new("RGB", (30, 30)).save((tmp_path / "val" / name.replace(" ", "_")) / "black.png")
    data = [f"dataloader.test.dataset.root={tmp_path / 'val'}"]
    assert_the_same(tiny, photos, data, "zero_shot.top1", tmp_path)


def test_video(tmp_path):
    tiny = tiny_model(tmp_path, "projects/Video/configs/kinetics400.py", (*SMALL, "model.num_frames=4"))
    for number in range(4):
        write_video(tmp_path / "videos" / f"{number}.mp4", COLOURS[number % 3], 9 + number)
    lines = []
    for number, result in enumerate(original(tiny).predict(tmp_path / "videos")):
        lines.append(f"{number}.mp4 {(result.class_ids[0] + number % 2) % 400}\n")
    (tmp_path / "val.txt").write_text("".join(lines))
    test = "dataloader.test.dataset"
    data = [f"{test}.root={tmp_path / 'videos'}", f"{test}.annotations={tmp_path / 'val.txt'}"]
    assert_the_same(tiny, tmp_path / "videos", data, "accuracy.top1", tmp_path)
    for folder in ("original", "evaluated onnx"):  # with the names of a set of classes
        assert (tmp_path / folder / "explanation.json").is_file()


def test_segmentation(tmp_path):
    sizes = ("img_size=64", "embed_dim=16", "num_heads=2", "depth=4", "out_indices=[0,1,2,3]")
    overrides = tuple(f"model.backbone.{size}" for size in sizes)
    overrides += ("model.decode_head.channels=16", "model.auxiliary_head.channels=8")
    overrides += ("model.inference.windows.size=[64,64]", "model.inference.windows.stride=[48,48]")
    tiny = tiny_model(tmp_path, "projects/SemSeg/configs/demo/upernet_eva02_tiny_microscope.py", overrides)
    folder = tmp_path / "data/heldout"
    write_halves(folder)
    for number, result in enumerate(original(tiny).predict(folder / "images")):
        labels = np.array(result.labels, np.uint8)
        labels[::2] = (labels[::2] + 1) % 3
        Image.fromarray(labels).save(folder / f"labels/{number}.png")
    data = [f"dataloader.test.dataset.folder={tmp_path / 'data'}"]
    assert_the_same(tiny, folder / "images", data, "sem_seg.mIoU", tmp_path)
