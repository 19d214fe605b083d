"""MNIST digits with captions that are generated from their labels.

The images are those of `eva_demos.classification.mnist_digits`: 4,000 for training and 1,000 held out. A caption is one
of the phrasings below with the digit as a word or as a numeral, such as "a photo of the digit three".

The held-out phrasings have the names of the digits in common with the training phrasings; most of their other words
occur in no caption. They were chosen before the first model was trained and have not been changed since.
"""

import csv
import random
from pathlib import Path

from PIL import Image

from eva_clip.data.caption_dataset import CaptionDataset
from eva_engine.atomic import atomic_folder
from eva_engine.data.dataset_folder import dataset_root

from ..classification.mnist_digits import read_digits

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRAINING_PHRASINGS = (
    "a photo of the digit {}",
    "a photo of the number {}",
    "a picture of a handwritten {}",
    "the digit {}",
    "the number {}, written by hand",
    "a white {} on black ground",
    "somebody wrote a {}",
    "an image of a {}.",
    "this is the number {}",
    "handwriting: {}",
    "a small {}",
    "{}",
)
HELDOUT_PHRASINGS = (
    "a scan of the figure {}",
    "the numeral {} in chalk",
    "one can clearly read {} here",
    "a blurry snapshot showing {}",
    "what we see is a {}",
    "pixels that form the cipher {}",
    "my teacher drew this {} yesterday",
    "{}, taken from a postal code",
)
CAPTIONS_PER_IMAGE = 5


def captioned_digits(folder: str | None = None) -> CaptionDataset:
    """Return the training set with captions; its files are written on first use.

    Args:
        folder: Folder of the images and captions; None for mnist_captions in the root folder of the datasets.

    Raises:
        InputError: The package with the images is not installed.
    """
    path = Path(dataset_root(), "mnist_captions") if folder is None else Path(folder)
    if not path.is_dir():
        _write(path)
    return CaptionDataset(str(path / "captions.csv"))


def _write(folder: Path) -> None:
    """Write the images as PNG files, named by their row, and captions.csv; an interrupted call leaves nothing."""
    images, digits, rows = read_digits(heldout=False)
    rng = random.Random(0)
    with atomic_folder(folder) as partial, open(partial / "captions.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image", "caption"))
        for image, digit, row in zip(images, digits, rows, strict=True):
            Image.fromarray(image).save(partial / f"{row:04}.png")
            for phrasing in rng.sample(TRAINING_PHRASINGS, CAPTIONS_PER_IMAGE):
                digit_name = rng.choice((WORDS[digit], str(digit)))
                table.writerow((f"{row:04}.png", phrasing.format(digit_name)))
