"""Data files inside installed packages, which the demos read in place."""

import importlib.util
from pathlib import Path

import numpy as np

from eva_backbone.errors import InputError

from .image_file import open_image


def package_file(package: str, relative: str) -> Path:
    """Path of a data file inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        path = Path(place, relative)
        if path.is_file():
            return path
    raise InputError(
        f"The demo reads {relative} of the package {package}, which is not installed here; "
        "run `make setup`, or `pip install --no-deps -r requirements/demo.txt`."
    )


def read_pages(path: Path) -> np.ndarray:
    """All pages of a TIFF file as one array [pages, H, W]."""
    with open_image(path) as image:
        pages = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            pages.append(np.array(image))
    return np.stack(pages)
