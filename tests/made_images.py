"""Images with structure, each of which differs from all others, for tests of the data check."""

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 64


def made_image(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """Return a smooth random image; the same number gives the same image, at any size."""
    colours = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


def write_images(folder: Path, numbers: range) -> list[Path]:
    """Write image N of each number as N.png, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in numbers:
        made_image(number).save(folder / f"{number}.png")
        paths.append(folder / f"{number}.png")
    return paths
