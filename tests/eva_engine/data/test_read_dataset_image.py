"""The former reader of detection's images does what it did."""

import numpy as np
import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.data import read_rgb_image
from eva_engine.data.image_file import read_dataset_image


def test_channels_are_in_the_order_of_the_format_and_orientation_tags_are_followed(tmp_path):
    file = str(tmp_path / "a.png")
    pixels = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(pixels).save(file, exif=tag)
    upright = read_rgb_image(file)
    assert upright.shape == (6, 4, 3)
    np.testing.assert_array_equal(read_dataset_image(file, "BGR"), upright[:, :, ::-1])
    np.testing.assert_array_equal(read_dataset_image(file, "RGB", size=(4, 6)), upright)
    with pytest.raises(InputError, match=r"a\.png: the image is 4 x 6, expected 6 x 4"):
        read_dataset_image(file, "RGB", size=(6, 4))
