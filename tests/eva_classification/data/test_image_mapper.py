"""Reading and labelling one image, and what happens to those that cannot be read."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from eva_backbone.errors import InputError
from eva_classification.data import EvaluationMapper, ImageDataset, TrainingMapper
from eva_classification.transforms import evaluation_transform

TRANSFORM = evaluation_transform(28)


def test_pixels_label_and_name(image_folder):
    record = ImageDataset(str(image_folder))[9]
    mapped = TrainingMapper(TRANSFORM)(record)
    with Image.open(record["file_name"]) as image:
        expected = TRANSFORM(image.convert("RGB")).numpy()
    np.testing.assert_array_equal(mapped["image"], expected)
    assert mapped["image"].dtype == np.float32
    assert (mapped["label"], mapped["file_name"]) == (2, record["file_name"])


@pytest.mark.parametrize("mapper_class", [TrainingMapper, EvaluationMapper])
@pytest.mark.parametrize("turned", [True, False])
def test_orientation_tags_are_followed_or_ignored(tmp_path, mapper_class, turned):
    (tmp_path / "ant").mkdir()
    exif = Image.Exif()
    exif[274] = 6
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "ant" / "turned.jpg", exif=exif, quality=100)
    mapper = mapper_class(TRANSFORM, apply_exif_orientation=turned)
    pixels = mapper(ImageDataset(str(tmp_path))[0])["image"][0]
    if turned:
        pixels = pixels.T
    assert np.ptp(pixels[:, 14]) > 10 * np.ptp(pixels[14])


def test_border_is_cut_off(image_folder):
    record = ImageDataset(str(image_folder))[0]
    with Image.open(record["file_name"]) as image:
        expected = TRANSFORM(ImageOps.crop(image.convert("RGB"), 2)).numpy()
    np.testing.assert_array_equal(EvaluationMapper(TRANSFORM, border=2)(record)["image"], expected)
    with pytest.raises(InputError, match="has nothing left inside a border of 16 pixels"):
        EvaluationMapper(TRANSFORM, border=16)(record)


@pytest.mark.parametrize("damage", ["empty", "cut", "gone", "wide"])
@pytest.mark.parametrize("mapper_class", [TrainingMapper, EvaluationMapper])
def test_unreadable_images_stop_or_are_skipped(image_folder, damage, mapper_class, caplog):
    records = ImageDataset(str(image_folder))
    file = Path(records[3]["file_name"])
    if damage == "wide":
        Image.fromarray(np.full((40, 40), 40000, dtype=np.uint16)).save(file)
    elif damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: 900 if damage == "cut" else 0])
    with pytest.raises(InputError, match=f"^{file}.*on_error=") as error:
        mapper_class(TRANSFORM)(records[3])
    assert "\n" not in str(error.value)

    mapper = mapper_class(TRANSFORM, on_error="skip")
    with caplog.at_level(logging.WARNING, logger="detectron2_ext"), caplog.at_level(logging.WARNING):
        mapped = mapper(records[3])
    assert str(file) in caplog.text
    if mapper_class is TrainingMapper:
        assert mapped is None
        assert "1 so far" in caplog.text
    else:
        assert mapped["label"] == -1
        assert mapped["image"].shape == (3, 28, 28)
    assert mapper(records[4])["label"] == 1


def test_too_many_unreadable_images_in_a_row_are_an_error(image_folder):
    records = ImageDataset(str(image_folder))
    Path(records[0]["file_name"]).unlink()
    mapper = TrainingMapper(TRANSFORM, on_error="skip")
    for _ in range(19):
        assert mapper(records[0]) is None
    with pytest.raises(InputError, match="20 samples in a row"):
        mapper(records[0])
    with pytest.raises(InputError, match="on_error is 'hide'"):
        TrainingMapper(TRANSFORM, on_error="hide")
