import os

import numpy as np
import pytest
from PIL import Image
from synthetic_labels import write_labels

from eva_backbone.errors import InputError
from eva_semseg.data.label_file import read_labels

LABELS = np.array([[0, 1, 2], [255, 2, 1]])


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_grey_palette_and_16_bit_files_contain_class_indices(tmp_path, mode) -> None:
    path = write_labels(tmp_path / "a.png", LABELS, mode)
    assert Image.open(path).mode == mode
    found = read_labels(str(path), 3, (2, 3))
    assert found.dtype == np.int32
    assert (found == LABELS).all()


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_values_outside_the_classes_are_reported(tmp_path, mode) -> None:
    path = write_labels(tmp_path / "a.png", np.array([[0, 7], [7, 255]]), mode)
    with pytest.raises(InputError, match=r"a\.png: 2 pixels have the value 7 .* 0 to 2, or 255"):
        read_labels(str(path), 3)


def test_a_16_bit_value_is_not_taken_modulo_256(tmp_path) -> None:
    path = write_labels(tmp_path / "a.png", np.array([[0, 257]]), "I;16")
    with pytest.raises(InputError, match="257"):
        read_labels(str(path), 3)


def test_labels_of_another_size_than_the_image(tmp_path) -> None:
    path = write_labels(tmp_path / "a.png", LABELS)
    with pytest.raises(InputError, match=r"the labels are 3x2 pixels, the image is 2x3"):
        read_labels(str(path), 3, (3, 2))


def write_colours(path) -> None:
    Image.new("RGB", (3, 2)).save(path)


def write_rubbish(path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\nnot one")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_colours, "expected one class index per pixel"),
        (write_rubbish, "not a readable label file"),
        (str, "no such label file; check the label folder"),  # writes nothing
        (os.mkfifo, "not a regular file"),
    ],
)
def test_files_that_are_not_label_maps(tmp_path, write, message) -> None:
    write(tmp_path / "a.png")
    with pytest.raises(InputError, match=message):
        read_labels(str(tmp_path / "a.png"), 3)
