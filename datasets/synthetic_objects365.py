#!/usr/bin/env python3
"""Write an annotation file of the size and form of Objects365's training data, for measurements of readers.

With the defaults it has 1.7 million images with 25 million boxes: 5.4 GB. The numbers of boxes per image, their classes
and their sizes are random with long tails, as in the published file. The images themselves are not made.

    python datasets/synthetic_objects365.py /tmp/objects365_train.json [--images N] [--boxes N] [--seed N]
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from script_io import atomic_path, run
from tqdm import tqdm

from detectron2_ext.data.objects365_classes import OBJECTS365_CLASSES

_BLOCK = 10_000  # images
_SIZES = ((1024, 683), (768, 512), (1024, 768), (683, 1024), (512, 769), (800, 600), (1280, 853))
_NUM_PATCHES = 51


def write(path: Path, num_images: int, num_boxes: int, seed: int) -> None:
    """Write the file; the same arguments give the same content."""
    rng = np.random.default_rng(seed)
    # A long tail: half of the images have fewer than 10 boxes, some have more than 200.
    weights = rng.lognormal(0.0, 0.9, num_images)
    counts = rng.multinomial(num_boxes, weights / weights.sum())
    sizes = np.array(_SIZES)[rng.integers(0, len(_SIZES), num_images)]
    frequencies = 1 / np.arange(1, len(OBJECTS365_CLASSES) + 1)
    frequencies /= frequencies.sum()
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write('{"images": [')
        _write_all(file, (_images(start, sizes[start : start + _BLOCK]) for start in range(0, num_images, _BLOCK)))
        file.write('], "annotations": [')
        _write_all(file, tqdm(_annotations(rng, counts, sizes, frequencies), total=-(-num_images // _BLOCK)))
        categories = [{"id": number, "name": name} for number, name in enumerate(OBJECTS365_CLASSES, start=1)]
        file.write(f'], "categories": {json.dumps(categories)}}}')


def _write_all(file: TextIO, blocks: Iterator[str]) -> None:
    separator = ""
    for block in blocks:
        if block:
            file.write(separator + block)
            separator = ", "


def _images(start: int, sizes: np.ndarray) -> str:
    texts = []
    for number, (width, height) in enumerate(sizes.tolist(), start=start):
        version = 1 if number % 2 else 2
        name = f"images/v{version}/patch{number % _NUM_PATCHES}/objects365_v{version}_{number:08}.jpg"
        texts.append(
            f'{{"height": {height}, "id": {number}, "license": 5, "width": {width}, "file_name": "{name}", "url": ""}}'
        )
    return ", ".join(texts)


def _annotations(
    rng: np.random.Generator, counts: np.ndarray, sizes: np.ndarray, frequencies: np.ndarray
) -> Iterator[str]:
    annotation_id = 0
    for start in range(0, len(counts), _BLOCK):
        images = np.repeat(np.arange(start, min(start + _BLOCK, len(counts))), counts[start : start + _BLOCK])
        total = len(images)
        sides = np.clip(rng.lognormal(-2.2, 1.0, (total, 2)), 0.005, 1) * sizes[images]
        corners = rng.random((total, 2)) * (sizes[images] - sides)
        boxes = np.concatenate([corners, sides], axis=1).round(10).tolist()
        classes = rng.choice(len(frequencies), total, p=frequencies) + 1
        crowds = (rng.random(total) < 0.005).astype(int)
        texts = []
        rows = zip(images.tolist(), classes.tolist(), crowds.tolist(), boxes, strict=True)
        for image, category, crowd, (x, y, w, h) in rows:
            annotation_id += 1
            texts.append(
                f'{{"id": {annotation_id}, "iscrowd": {crowd}, "isfake": 0, "area": {w * h}, "isreflected": 0, '
                f'"bbox": [{x}, {y}, {w}, {h}], "image_id": {image}, "category_id": {category}}}'
            )
        yield ", ".join(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="file to write")
    parser.add_argument("--images", type=int, default=1_700_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--boxes", type=int, default=25_000_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    args = parser.parse_args()
    write(args.file, args.images, args.boxes, args.seed)


if __name__ == "__main__":
    run(main)
