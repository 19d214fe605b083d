"""The real images of the demo: how many there are, and that the splits do not overlap."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from eva_backbone.errors import InputError
from eva_demos.detection import fluo_hela
from eva_demos.detection.nucleus_image import load_nucleus_image, register_nucleus_image
from eva_engine.data.package_data import package_data_file


@pytest.fixture(scope="module")
def frames():
    return fluo_hela.load_frames()


def test_all_frames_and_nuclei_are_read(frames):
    assert len(frames) == 20
    assert sum(len(np.unique(frame.labels)) - 1 for frame in frames) == 3271
    assert {frame.pixels.shape for frame in frames} == {(700, 1100)}
    assert all(frame.pixels.min() == 0 and frame.pixels.max() == 255 for frame in frames)


def covered_pixels(frames, split):
    """(frame, row, column) of the frames, True where a tile of the split lies."""
    marked = []
    for t, frame in enumerate(frames):
        numbers = np.arange(frame.pixels.size, dtype=np.int64).reshape(frame.pixels.shape)
        marked.append(fluo_hela.LabelledImage(f"t{t:02d}", numbers, frame.labels))
    covered = np.zeros((len(frames), *frames[0].pixels.shape), bool)
    for tile in fluo_hela.split_tiles(marked, split):
        covered[int(tile.name[1:3])].reshape(-1)[tile.pixels] = True
    return covered


def test_splits_do_not_overlap(frames):
    train, heldout = (covered_pixels(frames, split).any(axis=(1, 2)) for split in (fluo_hela.TRAIN, fluo_hela.HELDOUT))
    assert train.all()
    np.testing.assert_array_equal(np.flatnonzero(heldout), np.arange(0, 20, 2))
    train, heldout = (covered_pixels(frames, split).any(axis=0) for split in (fluo_hela.TRAIN, fluo_hela.HELDOUT))
    train_columns, heldout_columns = (np.flatnonzero(covered.any(axis=0)) for covered in (train, heldout))
    assert (train_columns.min(), heldout_columns.min()) == (25, 680)
    assert train_columns.max() < 680
    for covered in (train, heldout):
        assert not covered[:25].any()
        assert not covered[-25:].any()
        assert not covered[:, -25:].any()


def test_registered_splits_are_written_at_first_use(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(fluo_hela, "load_frames", lambda: frames[:1])
    fluo_hela.register_splits(tmp_path)
    assert not list(tmp_path.iterdir())
    dicts = DatasetCatalog.get(fluo_hela.HELDOUT)
    assert len(dicts) == 24
    assert MetadataCatalog.get(fluo_hela.HELDOUT).json_file == str(tmp_path / "fluo_hela_heldout.json")
    areas = [a["area"] for a in json.loads((tmp_path / "fluo_hela_heldout.json").read_text())["annotations"]]
    assert min(areas) >= fluo_hela.MIN_AREA
    monkeypatch.setattr(fluo_hela, "load_frames", None)  # the second time nothing is cut
    assert len(DatasetCatalog.get(fluo_hela.HELDOUT)) == 24


def test_nucleus_image(tmp_path):
    image = load_nucleus_image()
    assert image.pixels.shape == image.labels.shape == (576, 576)
    assert len(np.unique(image.labels)) - 1 == 125
    summary = register_nucleus_image(tmp_path)
    assert summary.num_images == 36
    assert len(json.loads((tmp_path / "stardist_nuclei.json").read_text())["annotations"]) == summary.num_annotations


@pytest.mark.parametrize("package", ["no_such_package", "json"])
def test_a_missing_package_is_named_with_the_fix(package):
    with pytest.raises(InputError, match=rf"(?s)data/x\.tif of the package {package}.*make setup"):
        package_data_file(package, "data/x.tif")
