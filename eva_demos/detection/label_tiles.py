"""Label images (one integer per instance) cut into square tiles and written as PNG files with a COCO JSON."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

from eva_engine.atomic import atomic_folder, atomic_path

NUCLEUS = {"id": 1, "name": "nucleus"}


@dataclass(frozen=True)
class LabelledImage:
    """``pixels`` uint8 [H, W], ``labels`` integer [H, W] with 0 where no instance is; ``name`` starts file names."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray


def stretch_intensity(image: np.ndarray, high: float = 99.0, gamma: float = 0.7) -> np.ndarray:
    """Fluorescence counts [H, W] to uint8: the median becomes 0, the percentile ``high`` 255, between them a curve.

    Most pixels of such an image are background, whose level the median takes away; the exponent ``gamma`` keeps dim
    nuclei beside bright ones. A constant image becomes all zero.
    """
    counts = image.astype(np.float32)
    bottom, top = np.percentile(counts, (50.0, high))
    scaled = np.clip((counts - bottom) / max(float(top - bottom), 1e-6), 0.0, 1.0)
    return np.round(255.0 * scaled**gamma).astype(np.uint8)


def cut_tiles(image: LabelledImage, size: int, stride: int) -> Iterator[LabelledImage]:
    """Every whole ``size`` x ``size`` tile on a grid of ``stride`` pixels, row by row; the rest is dropped."""
    height, width = image.labels.shape
    for top in range(0, height - size + 1, stride):
        for left in range(0, width - size + 1, stride):
            window = np.s_[top : top + size, left : left + size]
            yield LabelledImage(f"{image.name}_y{top:04d}_x{left:04d}", image.pixels[window], image.labels[window])


def label_annotations(labels: np.ndarray, min_area: int) -> list[dict]:
    """One COCO annotation per label with at least ``min_area`` pixels: RLE, area, box [x, y, w, h] of whole pixels."""
    annotations = []
    for label in np.unique(labels):
        mask = labels == label
        area = int(mask.sum())
        if label == 0 or area < min_area:
            continue
        rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
        box = [float(value) for value in mask_api.toBbox(rle)]
        rle["counts"] = rle["counts"].decode("ascii")
        annotations.append({"category_id": NUCLEUS["id"], "iscrowd": 0, "area": area, "bbox": box, "segmentation": rle})
    return annotations


def write_coco_tiles(tiles: Iterable[LabelledImage], json_file: Path, image_root: Path, min_area: int) -> int:
    """Write each tile as ``image_root/<name>.png`` and all instances to ``json_file``; return the number of instances.

    An instance cut by the edge of its tile stays when ``min_area`` pixels of it are inside; a smaller piece is
    background. Tiles without instances stay in the set. Folder and JSON appear when they are complete, the JSON last;
    tiles that another process has written meanwhile stay.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    with atomic_folder(image_root) as partial_folder:
        for image_id, tile in enumerate(tiles, start=1):
            file_name = f"{tile.name}.png"
            Image.fromarray(tile.pixels).save(partial_folder / file_name)
            height, width = tile.labels.shape
            images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
            for annotation in label_annotations(tile.labels, min_area):
                annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    with atomic_path(json_file) as partial:
        partial.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [NUCLEUS]}))
    return len(annotations)
