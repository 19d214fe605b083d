"""Cut label images (one integer per instance) into square tiles and write them as PNG files with a COCO JSON file."""

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
    """A grey image with instance labels.

    Attributes:
        name: Beginning of the names of its files.
        pixels: uint8 [H, W].
        labels: Integers [H, W], one number per instance and 0 for the background.
    """

    name: str
    pixels: np.ndarray
    labels: np.ndarray


def stretch_intensity(image: np.ndarray, high: float = 99.0, gamma: float = 0.7) -> np.ndarray:
    """Convert fluorescence counts [H, W] to uint8: the median becomes 0, the percentile `high` becomes 255.

    Most pixels of such an image are background, so the median is the background level. The exponent `gamma` below 1
    keeps dim nuclei visible next to bright ones. A constant image becomes zero everywhere.
    """
    counts = image.astype(np.float32)
    bottom, top = np.percentile(counts, (50.0, high))
    scaled = np.clip((counts - bottom) / max(float(top - bottom), 1e-6), 0.0, 1.0)
    return np.round(255.0 * scaled**gamma).astype(np.uint8)


def cut_tiles(image: LabelledImage, size: int, stride: int) -> Iterator[LabelledImage]:
    """Yield every complete tile of `size` x `size` pixels on a grid of `stride` pixels in row-major order."""
    height, width = image.labels.shape
    for top in range(0, height - size + 1, stride):
        for left in range(0, width - size + 1, stride):
            window = np.s_[top : top + size, left : left + size]
            yield LabelledImage(f"{image.name}_y{top:04d}_x{left:04d}", image.pixels[window], image.labels[window])


def label_annotations(labels: np.ndarray, min_area: int) -> list[dict]:
    """Return one COCO annotation (RLE, area, integral box [x, y, w, h]) per label with at least `min_area` pixels."""
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
    """Write each tile as `image_root`/<name>.png and all instances to `json_file`.

    An instance cut by the edge of its tile is kept if at least `min_area` pixels are inside; a smaller piece becomes
    background. Tiles without instances are kept as well. The folder and then the JSON file appear only when they are
    complete; if another process has written the folder in the meantime, its folder is kept.

    Args:
        tiles: The tiles.
        json_file: COCO JSON file to write.
        image_root: Folder to write.
        min_area: Smallest area of an instance in pixels.

    Returns:
        The number of instances.
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
