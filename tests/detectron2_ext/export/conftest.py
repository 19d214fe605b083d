"""A photo at two sizes, because real images are neither noise nor of one size."""

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(scope="session")
def images() -> list[torch.Tensor]:
    """Images of different sizes, float32 [3, h, w], 0..255, not larger than the square of the tiny detectors."""
    photo = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    found = []
    for width, height in ((64, 44), (23, 64)):
        pixels = np.asarray(photo.resize((width, height)), np.float32)
        found.append(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))))
    return found
