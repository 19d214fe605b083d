"""The data sets of the benchmark `first_hour`: drawn photos, and real microscope images of an installed package."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eva_demos.detection.fluo_hela import BORDER, MIN_AREA, SPLIT_COLUMN, load_frames
from eva_demos.detection.label_tiles import LabelledImage, cut_tiles, write_coco_tiles

from .smears import CLASSES, HEIGHT, WIDTH, Smear

NUM_TRAIN, NUM_VAL = 300, 64  # drawn photos
_TILE, _STRIDE = 190, 155


@dataclass(frozen=True)
class DataSet:
    """COCO files and image folders of a data set."""

    name: str
    train_json: Path
    train_images: Path
    val_json: Path
    val_images: Path


def write_smears(folder: Path) -> DataSet:
    """Draw 300 photos to train on and 64 to evaluate, always the same."""
    rng = np.random.default_rng(0)
    for part, number in (("train", NUM_TRAIN), ("val", NUM_VAL)):
        images: list[dict] = []
        annotations: list[dict] = []
        Path(folder, part).mkdir(parents=True)
        for image_id in range(1, number + 1):
            smear = Smear(rng)
            name = f"{image_id:03d}.jpg"
            smear.photo().save(folder / part / name, quality=92)
            images.append({"id": image_id, "file_name": name, "width": WIDTH, "height": HEIGHT})
            for class_number, box in smear.objects:
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": image_id, "category_id": class_number + 1}
                    | {"bbox": box, "area": box[2] * box[3], "iscrowd": 0}
                )
        categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        Path(folder, f"{part}.json").write_text(json.dumps(content), encoding="utf-8")
    return _data_set("drawn blood smears", folder)


def write_nuclei(folder: Path) -> DataSet:
    """Cut HeLa nuclei into tiles of 190 pixels: 240 to train on, 30 of another part of the view."""
    frames = load_frames()
    for part in ("train", "val"):
        write_coco_tiles(_tiles(frames, part), folder / f"{part}.json", folder / part, MIN_AREA)
    return _data_set("real HeLa nuclei", folder)


def _tiles(frames: list[LabelledImage], part: str) -> Iterator[LabelledImage]:
    columns = slice(BORDER, SPLIT_COLUMN) if part == "train" else slice(SPLIT_COLUMN, -BORDER)
    for frame in frames if part == "train" else frames[::4]:
        view = LabelledImage(frame.name, frame.pixels[BORDER:-BORDER, columns], frame.labels[BORDER:-BORDER, columns])
        yield from cut_tiles(view, _TILE, _STRIDE if part == "train" else _TILE)


def _data_set(name: str, folder: Path) -> DataSet:
    return DataSet(name, folder / "train.json", folder / "train", folder / "val.json", folder / "val")
