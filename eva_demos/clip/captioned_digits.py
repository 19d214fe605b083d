"""MNIST's digits with captions made from their labels, for the demo.

The images are those of `eva_demos.classification.mnist_digits`: 4,000 to train on, and 1,000 held out. A caption is one
of the phrasings below with the digit as a word or as a numeral, as in "a photo of the digit three".

The held-out phrasings share the names of the digits with the others, and most of their other words are in no caption.
They were written down before the first model was trained and not changed since.
"""

import csv
import random
from pathlib import Path

from PIL import Image

from eva_clip.data.caption_dataset import CaptionDataset
from eva_engine.atomic import atomic_folder
from eva_engine.data.dataset_root import dataset_root

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
    """The training part, whose images and captions are written when they are first used.

    Args:
        folder: where they lie; by default mnist_captions in the data root.

    Raises:
        InputError: the package with the images is not installed.
    """
    place = Path(dataset_root(), "mnist_captions") if folder is None else Path(folder)
    if not place.is_dir():
        _write(place)
    return CaptionDataset(str(place / "captions.csv"))


def _write(folder: Path) -> None:
    """PNG files named by their row and captions.csv, all of it or nothing."""
    images, digits, rows = read_digits(heldout=False)
    draw = random.Random(0)
    with atomic_folder(folder) as partial, open(partial / "captions.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image", "caption"))
        for image, digit, row in zip(images, digits, rows, strict=True):
            Image.fromarray(image).save(partial / f"{row:04}.png")
            for phrasing in draw.sample(TRAINING_PHRASINGS, CAPTIONS_PER_IMAGE):
                table.writerow((f"{row:04}.png", phrasing.format(draw.choice((WORDS[digit], str(digit))))))
