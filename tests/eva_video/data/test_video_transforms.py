"""Frame sampling, transforms and mixing, beyond the golden cases."""

import random

import cv2
import numpy as np
import pytest
import torch

from eva_backbone.errors import InputError
from eva_video.data import (
    ClipMixing,
    EvaluationFrameSampler,
    EvaluationTransform,
    TrainingFrameSampler,
    TrainingTransform,
)
from eva_video.data.crops import crop_sizes
from eva_video.data.mixing import draw_box
from eva_video.data.sampling import uniform_frame_indices

PLAIN = {"colour_jitter_prob": 0.0, "grey_prob": 0.0, "flip_prob": 0.0, "mean": (0,) * 3, "std": (1,) * 3}


def synthetic_frames(num_frames: int = 6, height: int = 40, width: int = 56) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def prepared(transform, frames: np.ndarray) -> np.ndarray:
    return np.stack([transform.prepare(frame) for frame in frames])


@pytest.mark.parametrize("total", [1, 3, 8, 9, 33, 250])
@pytest.mark.parametrize("num_clips", [1, 2, 4])
def test_uniform_clips_are_ordered_and_always_the_same(total, num_clips):
    choose = EvaluationFrameSampler(8, num_clips)
    clips = choose(total).reshape(num_clips, 8)
    np.testing.assert_array_equal(choose(total).reshape(num_clips, 8), clips)
    assert clips.min() >= 0
    assert clips.max() < total
    assert (np.diff(clips, axis=1) >= 0).all()
    if total >= 8 * num_clips:
        assert len(np.unique(clips)) == clips.size
    assert (np.diff(clips, axis=0) >= 0).all()
    if num_clips == 1:
        np.testing.assert_array_equal(clips[0], uniform_frame_indices(total, 8))


def test_random_clips_are_drawn_as_in_training():
    np.random.seed(3)
    expected = TrainingFrameSampler(8, 4)(100)
    np.random.seed(3)
    np.testing.assert_array_equal(EvaluationFrameSampler(8, 4, "random")(100), expected)
    with pytest.raises(InputError, match="the mode of the clips is 'even'"):
        EvaluationFrameSampler(8, 4, "even")


def test_three_views_are_first_last_and_middle():
    transform = EvaluationTransform(20, 3, mean=(0,) * 3, std=(1,) * 3)
    frames = prepared(transform, synthetic_frames(4, 20, 61))
    pixels, views = transform(frames, num_clips=2)
    assert pixels.shape == (6, 3, 2, 20, 20)
    assert views.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]]
    for view, (clip, crop) in enumerate(views):
        left = (0, 40, 20)[crop]
        part = frames[2 * clip : 2 * clip + 2, :, left : left + 20]
        np.testing.assert_array_equal(pixels[view], part.transpose(3, 0, 1, 2))
    with pytest.raises(InputError, match="expected 1 or 3"):
        EvaluationTransform(20, 5)


def test_a_training_clip_is_one_crop_of_all_frames():
    transform = TrainingTransform(32, shorter_side=40, **PLAIN)
    frames = prepared(transform, synthetic_frames())
    seen = set()
    for seed in range(30):
        random.seed(seed)
        pixels = transform(frames)
        assert pixels.shape == (3, 6, 32, 32)
        assert pixels.dtype == np.float32
        random.seed(seed)
        width, height = random.choice(crop_sizes(40, 56, 32, transform.scales))
        fits = []
        for y in range(40 - height + 1):
            for x in range(56 - width + 1):
                first = cv2.resize(frames[0, y : y + height, x : x + width].copy(), (32, 32))
                fits += [(y, x)] if np.array_equal(first.transpose(2, 0, 1), pixels[:, 0]) else []
        ((y, x),) = fits
        expected = [cv2.resize(frame[y : y + height, x : x + width].copy(), (32, 32)) for frame in frames]
        np.testing.assert_array_equal(pixels, np.stack(expected).transpose(3, 0, 1, 2))
        seen.add((width, height, y, x))
    assert len(seen) > 12


def test_flips_are_the_same_for_all_frames():
    frames = synthetic_frames(5, 32, 32)
    for seed in range(8):
        random.seed(seed)
        plain = TrainingTransform(32, shorter_side=32, **PLAIN)(frames)
        random.seed(seed)
        flipped = TrainingTransform(32, shorter_side=32, **{**PLAIN, "flip_prob": 1.0})(frames)
        if is_uncropped(plain, frames):
            np.testing.assert_array_equal(flipped, plain[..., ::-1])
            return
    pytest.fail("no crop of the entire frame among eight")


def is_uncropped(pixels: np.ndarray, frames: np.ndarray) -> bool:
    return np.array_equal(pixels, frames.transpose(3, 0, 1, 2))


@pytest.mark.parametrize("per_frame", [True, False])
def test_colours_change_frame_by_frame_or_for_the_clip(per_frame):
    still = np.repeat(synthetic_frames(1, 32, 32), 6, axis=0)
    options = {**PLAIN, "colour_jitter_prob": 1.0, "colour_jitter_per_frame": per_frame}
    random.seed(0), torch.manual_seed(0)
    pixels = TrainingTransform(32, shorter_side=32, **options)(still)
    assert len({frame.tobytes() for frame in np.ascontiguousarray(pixels.transpose(1, 0, 2, 3))}) == (
        6 if per_frame else 1
    )


def test_probabilities_of_colour_changes():
    frames = synthetic_frames(2, 16, 16)
    transform = TrainingTransform(16, shorter_side=16, scales=(1,), mean=(0,) * 3, std=(1,) * 3, flip_prob=0)
    random.seed(0), torch.manual_seed(0)
    kinds = []
    for _ in range(600):
        pixels = transform(frames)
        is_grey = np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[1], pixels[2])
        kinds.append((is_grey, is_uncropped(pixels, frames)))
    grey, untouched = np.mean(kinds, axis=0)
    assert abs(grey - 0.2) < 0.06
    assert abs(untouched - 0.2 * 0.8) < 0.06


def test_published_statistics_are_the_default():
    pixels, _ = EvaluationTransform(8)(np.full((2, 9, 9, 3), 128, np.uint8))
    expected = [(128 - 123.675) / 58.395, (128 - 116.28) / 57.12, (128 - 103.53) / 57.375]
    np.testing.assert_allclose(pixels[0, :, 1, 3, 3], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "kinds"), [({}, {"box", "blend"}), ({"mixup_alpha": 0}, {"box"}), ({"cutmix_alpha": 0}, {"blend"})]
)
def test_a_batch_is_mixed_in_one_way(options, kinds):
    np.random.seed(0)
    clips = torch.arange(1.0, 5.0).reshape(4, 1, 1, 1, 1).expand(4, 3, 2, 10, 10)
    labels = torch.arange(4)
    seen = set()
    for _ in range(40):
        mixed, targets = ClipMixing(5, smoothing=0.0, **options)(clips, labels)
        torch.testing.assert_close(targets.sum(1), torch.ones(4))
        # Pixels are the number of their clip: their mean is that of the targets.
        torch.testing.assert_close(mixed.mean((1, 2, 3, 4)), targets @ torch.arange(1.0, 6.0))
        if not torch.equal(mixed, clips):
            is_unblended = set(mixed.unique().tolist()) <= {1.0, 2.0, 3.0, 4.0}
            seen.add("box" if is_unblended else "blend")
    assert seen == kinds


def test_boxes_stay_inside_and_cover_what_is_drawn():
    np.random.seed(0)
    boxes = [draw_box(20, 30, lam) for lam in np.random.beta(1, 1, 300)]
    assert all(0 <= left <= right <= 30 and 0 <= top <= bottom <= 20 for left, top, right, bottom in boxes)
    np.random.seed(1)
    left, top, right, bottom = max(
        (draw_box(20, 30, 0.75) for _ in range(50)), key=lambda b: (b[2] - b[0]) * (b[3] - b[1])
    )
    assert (right - left, bottom - top) == (14, 10)


def test_mixing_without_mixup_and_cutmix():
    with pytest.raises(InputError, match="both 0"):
        ClipMixing(5, mixup_alpha=0, cutmix_alpha=0)
