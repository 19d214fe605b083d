import numpy as np
import pytest
from synthetic_labels import write_pairs

from eva_backbone.errors import InputError
from eva_semseg.data import (
    EvaluationMapper,
    PhotometricDistortion,
    RandomCrop,
    RandomFlip,
    RandomScale,
    SegmentationCollate,
    SegmentationDataset,
    TestTimeAugmentation,
    TrainingMapper,
)

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def make_pair(height: int = 40, width: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """The labels are equal to the first channel, which shows whether both are moved together."""
    labels = np.arange(height * width, dtype=np.int32).reshape(height, width) % 200
    return np.repeat(labels[..., None], 3, axis=2).astype(np.uint8), labels


def make_mapper(size=(32, 32), augmentations=(), **options) -> TrainingMapper:
    return TrainingMapper(list(augmentations), size=size, pixel_mean=MEAN, pixel_std=STD, num_classes=3, **options)


@pytest.mark.parametrize("augment", [RandomCrop((16, 24), 1.0), RandomFlip(), RandomFlip(vertical=True)])
def test_image_and_labels_move_together(augment) -> None:
    np.random.seed(0)
    for _ in range(4):
        image, labels = augment(*make_pair())
        assert (image[..., 0] == labels).all()


def test_scaled_sizes_keep_the_shape_within_both_limits() -> None:
    np.random.seed(0)
    for _ in range(20):
        image, labels = RandomScale(long_side=200, short_side=50)(*make_pair(40, 60))
        assert image.shape[:2] == labels.shape
        assert 25 <= labels.shape[0] <= 100
        assert labels.shape[1] == pytest.approx(labels.shape[0] * 1.5, abs=1)


def test_labels_are_never_mixed_by_resizing() -> None:
    labels = np.where(np.arange(60) < 30, 0, 200)[None].repeat(40, 0).astype(np.int32)
    _, found = RandomScale(100, 50, (1.3, 1.3))(np.zeros((40, 60, 3), np.uint8), labels)
    assert set(np.unique(found)) == {0, 200}


def test_a_crop_avoids_windows_of_one_class() -> None:
    labels = np.zeros((8, 400), dtype=np.int32)
    labels[:, 196:] = 1
    image = np.zeros((8, 400, 3), np.uint8)
    np.random.seed(0)
    unchecked = [len(np.unique(RandomCrop((8, 16), 1.0)(image, labels)[1])) for _ in range(200)]
    chosen = [len(np.unique(RandomCrop((8, 16), 0.75)(image, labels)[1])) for _ in range(200)]
    assert np.mean(np.array(unchecked) == 2) < 0.12
    assert 0.12 < np.mean(np.array(chosen) == 2) < 0.5  # about 1 - (1 - 9/385) ** 11


def test_ignored_pixels_do_not_count_as_a_class() -> None:
    crop = RandomCrop((4, 4), 0.75)
    ignored = np.full((4, 4), 255)
    assert not crop._is_good(ignored)
    ignored[0] = 1
    assert not crop._is_good(ignored)
    ignored[0, :2] = 2
    assert crop._is_good(ignored)


def test_crops_of_small_images_are_the_image() -> None:
    assert RandomCrop((100, 24), 1.0)(*make_pair())[1].shape == (40, 24)


def test_distortion_changes_colours_within_bounds() -> None:
    np.random.seed(1)
    image, labels = make_pair()
    grey = [PhotometricDistortion()(image, labels)[0] for _ in range(12)]
    assert any((found != image).any() for found in grey)
    assert all(found.dtype == np.uint8 and found.shape == image.shape for found in grey)
    only_bright = PhotometricDistortion(brightness=32, contrast=(1, 1), saturation=(1, 1), hue=1)
    moved = [np.abs(only_bright(image, labels)[0].astype(int) - image).max() for _ in range(12)]
    assert 0 < max(moved) <= 40


def test_padding_comes_after_the_normalisation(tmp_path) -> None:
    (record,) = SegmentationDataset(**write_pairs(tmp_path, ["a"]), class_names=["a", "b", "c"])
    sample = make_mapper(size=(32, 40))(record)
    assert sample["image"].shape == (3, 32, 40)
    assert sample["image"].dtype == np.float32
    assert (sample["image"][:, 20:] == 0).all()
    assert (sample["image"][:, :, 30:] == 0).all()
    assert (sample["image"][:, :20, :30] != 0).any()
    assert (sample["label"][20:] == 255).all()
    assert (sample["label"][:20, :30] < 3).all()
    batch = SegmentationCollate()([sample, sample])
    assert batch["image"].shape == (2, 3, 32, 40)
    assert str(batch["label"].dtype) == "torch.int64"


def test_an_image_larger_than_the_result_needs_a_crop(tmp_path) -> None:
    (record,) = SegmentationDataset(**write_pairs(tmp_path, ["a"]), class_names=["a", "b", "c"])
    with pytest.raises(InputError, match=r"a\.jpg: the augmented image has 30x20 pixels, more than .* 16x16"):
        make_mapper(size=(16, 16))(record)


def test_bad_samples_stop_or_are_skipped_and_logged(tmp_path, caplog) -> None:
    (record,) = SegmentationDataset(**write_pairs(tmp_path, ["a"], num_classes=9), class_names=["a", "b", "c"])
    with pytest.raises(InputError, match=r'a\.png: .* 0 to 2, or 255.*, or skip such images with on_error="skip"'):
        make_mapper()(record)
    assert make_mapper(on_error="skip")(record) is None
    assert "a.png" in caplog.text


@pytest.mark.parametrize(
    ("options", "sizes", "shapes"),
    [
        ({"short_side": 90, "long_side": 360}, [(96, 128)], [(96, 128)]),
        (
            {"short_side": 90, "long_side": 360, "ratios": (0.5, 1.0), "flip": True, "min_side": 112},
            [(64, 64), (64, 64), (96, 128), (96, 128)],
            [(112, 112)] * 2 + [(112, 128)] * 2,
        ),
    ],
)
def test_views_of_an_image(options, sizes, shapes) -> None:
    image = np.random.default_rng(0).integers(1, 256, (60, 80, 3), dtype=np.uint8)
    views = TestTimeAugmentation(**options)(image)
    assert [view["content"] for view in views] == sizes
    assert [tuple(view["pixels"].shape[1:]) for view in views] == shapes
    for unflipped, flipped in zip(views[::2], views[1::2], strict=False):
        height, width = unflipped["content"]
        assert (unflipped["flipped"], flipped["flipped"]) == (False, True)
        # Flipped first, padded with black last.
        content = flipped["pixels"][:, :height, :width]
        assert content.flip(2).equal(unflipped["pixels"][:, :height, :width])
        assert (flipped["pixels"][:, height:] == 0).all()
        assert (content != 0).all()


@pytest.mark.parametrize("options", [{"ratios": []}, {"ratios": [1.0, 0.0]}, {"divisor": 0}])
def test_settings_without_views(options) -> None:
    with pytest.raises(InputError, match="give no views"):
        TestTimeAugmentation(**options)


def test_an_unreadable_test_image_stops_or_is_black(tmp_path, caplog) -> None:
    (record,) = SegmentationDataset(**write_pairs(tmp_path, ["a"]), class_names=["a", "b", "c"])
    (tmp_path / "images/a.jpg").write_bytes(b"not an image")
    views = TestTimeAugmentation(long_side=64, short_side=32)
    with pytest.raises(InputError, match=r'not a readable image.*on_error="skip"'):
        EvaluationMapper(views)(record)
    found = EvaluationMapper(views, on_error="skip")(record)
    assert (found["height"], found["width"]) == (20, 30)
    assert not found["views"][0]["pixels"].any()
    assert "black image" in caplog.text
