"""The demo's split: no pixel of the held-out regions is used for training."""

import numpy as np
import pytest

from eva_demos.segmentation import microscope
from eva_demos.segmentation.microscope import CLASSES, HELDOUT, TRAIN, microscope_images, regions


@pytest.fixture
def numbered_frames(monkeypatch):
    """Frames whose pixel values encode their location, instead of the real ones, which take seconds to load."""

    def frames(name: str, height: int, width: int, number: int) -> list:
        where = np.arange(height)[:, None] * 10000 + np.arange(width)
        return [(f"{name}_t{t:02d}", where, (where % 2 * number).astype(np.uint8)) for t in range(20)]

    monkeypatch.setattr(microscope, "nucleus_frames", lambda: frames("nuclei", 700, 1100, 1))
    monkeypatch.setattr(microscope, "bacteria_frames", lambda: frames("bacteria", 727, 1026, 2))


def test_the_two_splits_share_no_pixel(numbered_frames) -> None:
    del numbered_frames
    for kind in ("nuclei", "bacteria"):
        train, heldout = (
            next(where for name, where, _ in regions(split) if name.startswith(kind)) for split in (TRAIN, HELDOUT)
        )
        assert train.size
        assert heldout.size
        assert not np.intersect1d(train, heldout).size


def test_training_uses_all_frames_and_every_fourth_is_held_out(numbered_frames) -> None:
    del numbered_frames
    assert len({name for name, *_ in regions(TRAIN)}) == 40
    assert [name[-3:] for name, *_ in regions(HELDOUT)] == ["t19", "t15", "t11", "t07", "t03"] * 2


def test_images_are_written_once(numbered_frames, monkeypatch, tmp_path) -> None:
    del numbered_frames
    monkeypatch.setattr(
        microscope,
        "regions",
        lambda split: iter([(split, np.zeros((4, 5), np.uint8), np.full((4, 5), 2, np.uint8))]),
    )
    images = microscope_images(HELDOUT, str(tmp_path))
    assert images.class_names == CLASSES
    monkeypatch.setattr(microscope, "regions", None)
    assert microscope_images(HELDOUT, str(tmp_path)) == images
    assert [path.name for path in tmp_path.iterdir()] == [HELDOUT]
