"""Statistics of pixels, measured in a sample of the images."""

import numpy as np
import pytest
from PIL import Image

from detectron2_ext.fitting import pixel_statistics
from eva_backbone.errors import InputError


def write(path, colour, size=(6, 4)):
    Image.fromarray(np.full((*size[::-1], 3), colour, dtype=np.uint8)).save(path)
    return {"file_name": str(path)}


def test_mean_and_deviation_are_those_of_all_pixels(tmp_path):
    records = [write(tmp_path / "a.png", (0, 100, 20)), write(tmp_path / "b.png", (200, 100, 40))]
    found = pixel_statistics(records)
    assert found.mean == (100, 100, 30)
    assert found.std == (100, 1, 10)  # at least 1, by which it can be divided
    assert found.num_images == 2
    assert pixel_statistics(records, "BGR").mean == (30, 100, 100)


def test_large_images_are_shrunk_and_many_are_sampled(tmp_path):
    first = write(tmp_path / "a.png", (0, 0, 0), size=(1000, 500))
    last = write(tmp_path / "b.png", (80, 80, 80), size=(1000, 500))
    found = pixel_statistics([first] * 500 + [last] * 500)
    assert found.num_images == 100
    assert found.mean == (40, 40, 40)
    assert found.std == (40, 40, 40)


def test_an_unreadable_image_is_left_out_and_nothing_else_is_an_error(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad = {"file_name": str(tmp_path / "bad.png")}
    assert pixel_statistics([bad, write(tmp_path / "a.png", (7, 8, 9))]).mean == (7, 8, 9)
    with pytest.raises(InputError, match=r"bad\.png"):
        pixel_statistics([bad])
