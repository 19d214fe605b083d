"""Transforms of the recipes."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from eva_backbone.errors import InputError
from eva_classification.transforms import (
    CLIP_MEAN,
    CLIP_STD,
    RandomCropOnce,
    evaluation_transform,
    probe_transform,
    training_transform,
)


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("size", "crop_pct", "interpolation", "shorter"),
    [
        (56, 1.0, "bicubic", 56),
        (56, None, "bicubic", 64),
        (84, None, "bicubic", 96),
        (336, None, "bicubic", 384),
        (392, None, "bicubic", 392),
        (56, 0.9, "bilinear", 62),
    ],
)
def test_evaluation_is_resize_and_centre(size, crop_pct, interpolation, shorter):
    expected = T.Compose(
        [
            T.Resize(shorter, T.InterpolationMode(interpolation)),
            T.CenterCrop(size),
            T.ToTensor(),
            T.Normalize(CLIP_MEAN, CLIP_STD),
        ]
    )
    for image in (noise(150, 91), noise(77, 203)):
        found = evaluation_transform(size, crop_pct, interpolation)(image)
        torch.testing.assert_close(found, expected(image), rtol=0, atol=0)


def test_other_statistics():
    image = noise(56, 56)
    clip, plain = (
        evaluation_transform(56, 1.0, **options)(image) for options in ({}, {"mean": [0] * 3, "std": [1] * 3})
    )
    torch.testing.assert_close(
        clip * torch.tensor(CLIP_STD)[:, None, None] + torch.tensor(CLIP_MEAN)[:, None, None], plain
    )


def crop_shares(scale: tuple[float, float]) -> list[float]:
    """Fraction of the image's area in 200 crops, measured on ramps, whose slopes show how much they were enlarged."""
    ramp = np.zeros((128, 128, 3), dtype=np.uint8)
    ramp[:, :, 0] = np.arange(128)
    ramp[:, :, 1] = np.arange(128)[:, None]
    transform = training_transform(128, scale=scale, auto_augment=None, mean=[0] * 3, std=[1] * 3)
    shares = []
    for _ in range(200):
        pixels = transform(Image.fromarray(ramp)) * 255
        wide, high = (pixels[0, 64, 96] - pixels[0, 64, 32]).abs(), pixels[1, 96, 64] - pixels[1, 32, 64]
        shares.append(float(wide * high) / 64**2)
    return shares


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.5, 1.0)])
def test_training_crops_cover_the_scale(scale):
    random.seed(0)
    shares = crop_shares(scale)
    assert scale[0] * 0.85 < min(shares) < scale[0] + 0.1
    assert 0.9 < max(shares) < 1.05
    assert np.mean(shares) == pytest.approx(sum(scale) / 2, abs=0.06)


def test_rand_augment_and_mirroring_are_drawn():
    image = noise(64, 64)
    random.seed(0)
    assert len({float(training_transform(56)(image).sum()) for _ in range(8)}) == 8
    names = [type(t).__name__ for t in training_transform(56, re_prob=0.25).transforms]
    assert names[0] == "RandomResizedCropAndInterpolation"
    assert "RandAugment" in names
    assert names[-1] == "RandomErasing"
    assert "ColorJitter" not in names


def test_no_level_of_rand_augment_is_refused():
    image = noise(40, 40)
    (augment,) = [t for t in training_transform(28, auto_augment="rand-m10-inc1").transforms if hasattr(t, "ops")]
    for operation in augment.ops:
        operation.prob = 1.0
        assert operation(image).size == (40, 40)
    (posterize,) = [operation for operation in augment.ops if operation.name == "PosterizeIncreasing"]
    assert not np.asarray(posterize(image)).any()
    posterize.magnitude = 5
    assert set(np.unique(np.asarray(posterize(image)))) == {0, 64, 128, 192}


def test_unknown_names_are_user_errors():
    with pytest.raises(InputError, match="interpolation='cubic' is not known; choose one of"):
        evaluation_transform(28, interpolation="cubic")
    with pytest.raises(InputError, match="timm does not know auto_augment='foo'"):
        training_transform(28, auto_augment="foo")


def test_probe_crop_is_drawn_once_and_cut_to_the_image():
    image = noise(300, 20)
    random.seed(1)
    boxes = [RandomCropOnce.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(500)]
    for top, left, height, width in boxes:
        assert 0 <= top <= 20 - height
        assert 0 <= left <= 300 - width
        assert height > 0
        assert width > 0
    # A crop that does not fit keeps the width that was drawn for it.
    assert sum(height == 20 for _, _, height, _ in boxes) > 400
    assert len({width for *_, width in boxes}) > 30


def test_probe_crop_draws_four_numbers_and_the_transform_is_mirrored_half_the_time():
    image = noise(100, 90)
    random.seed(7)
    once = [RandomCropOnce.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(2)]
    random.seed(7)
    assert once == [RandomCropOnce.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(2)]
    areas = [h * w / 9000 for _, _, h, w in (RandomCropOnce.get_params(image, (0.5, 0.5), (1, 1)) for _ in range(5))]
    assert areas == pytest.approx([0.5] * 5, abs=0.01)
    found = probe_transform(28)(image)
    assert found.shape == (3, 28, 28)
    assert [type(t).__name__ for t in probe_transform(28).transforms] == [
        "RandomCropOnce",
        "RandomHorizontalFlip",
        "ToTensor",
        "Normalize",
    ]
