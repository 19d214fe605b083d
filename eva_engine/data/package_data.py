"""Find and read data files inside installed packages, which the demos use."""

import importlib.util
from pathlib import Path

import numpy as np

from eva_backbone.errors import InputError

from .image_file import open_image


def package_data_file(package: str, relative: str) -> Path:
    """Return the path of a data file inside an installed package, without importing the package.

    Raises:
        InputError: The package is not installed, or does not have the file.
    """
    spec = importlib.util.find_spec(package)
    if spec is not None:
        for folder in spec.submodule_search_locations or ():
            path = Path(folder, relative)
            if path.is_file():
                return path
    raise InputError(
        f"The demo reads {relative} of the package {package}, which is not installed here; "
        "run `make setup`, or `pip install --no-deps -r requirements/demo.txt`."
    )


def read_tiff_pages(path: Path) -> np.ndarray:
    """Return all pages of a TIFF file as one array [pages, H, W]."""
    with open_image(path) as image:
        pages = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            pages.append(np.array(image))
    return np.stack(pages)
