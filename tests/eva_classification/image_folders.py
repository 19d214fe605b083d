"""Small trees of noise images, one folder per class."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZES = ((40, 32), (32, 40), (36, 36))  # width, height


def write_image_folders(root: Path, classes: Iterable[str] = ("ant", "bee", "cat"), per_class: int = 4) -> Path:
    """PNG files 0.png, 1.png, ... in a folder for each of `classes`; returns `root`."""
    generator = np.random.default_rng(0)
    for name in classes:
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(per_class):
            width, height = SIZES[number % len(SIZES)]
            pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def draw_batches(loader: Iterable[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The first `count` batches."""
    return list(islice(iter(loader), count))
