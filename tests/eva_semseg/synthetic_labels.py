"""Small synthetic images and label maps on disk."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, height: int = 20, width: int = 30, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_labels(path: Path, labels: np.ndarray, mode: str = "L") -> Path:
    """Write `labels` as a PNG of Pillow's `mode`: L, P (with a palette) or I;16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "I;16":
        image = Image.fromarray(labels.astype(np.uint16))
    else:
        image = Image.fromarray(labels.astype(np.uint8))
        if mode == "P":
            # Colours that are unrelated to the class indices.
            image = image.convert("L")
            image.putpalette([(7 * value + channel) % 256 for value in range(256) for channel in range(3)])
    image.save(path)
    return path


def write_pairs(root: Path, names: list[str], num_classes: int = 3, size: tuple[int, int] = (20, 30)) -> dict[str, str]:
    """Write images and labels below `root`; return the arguments of `SegmentationDataset` for them."""
    for seed, name in enumerate(names):
        write_image(root / "images" / f"{name}.jpg", *size, seed=seed)
        labels = np.random.default_rng(seed).integers(0, num_classes, size)
        write_labels(root / "labels" / f"{name}.png", labels)
    return {"image_root": str(root / "images"), "label_root": str(root / "labels")}
