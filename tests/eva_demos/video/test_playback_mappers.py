"""The input of the demo's model: only motion, in the right crops of the right frames."""

import numpy as np
import pytest

from eva_backbone.errors import InputError
from eva_demos.video.playback_mappers import (
    MOTION_STD,
    ForwardBackwardCollate,
    PlaybackEvaluationMapper,
    PlaybackTrainingMapper,
    motion,
)
from eva_demos.video.skvideo_clips import BLOCK, STEPS, play

HEIGHT, WIDTH, SIZE = 9, 14, 6


def record(label: int) -> dict:
    """Red is 10 times the frame index, green the row, blue the column."""
    block = np.empty((BLOCK, HEIGHT, WIDTH, 3), np.uint8)
    block[..., 0] = 10 * np.arange(BLOCK)[:, None, None]
    block[..., 1], block[..., 2] = np.mgrid[:HEIGHT, :WIDTH]
    return {"block": block, "label": label, "file_name": "numbers"}


def test_motion_is_the_difference_from_the_mean():
    frames = np.full((4, 2, 3, 3), 200, np.uint8)
    frames[:, 0, 0, 1] = [10, 30, 50, 70]
    values = motion(frames)
    np.testing.assert_allclose(values[1, :, 0, 0], np.array([-30, -10, 10, 30]) / MOTION_STD)
    assert values.shape == (3, 4, 2, 3)
    assert np.count_nonzero(values) == 4


@pytest.mark.parametrize("label", range(len(STEPS)))
@pytest.mark.parametrize("make", [PlaybackTrainingMapper, PlaybackEvaluationMapper])
def test_speed_and_direction_are_those_of_the_class(make, label):
    mapped = make(SIZE, 4)(record(label))
    video = mapped["video"].reshape(-1, 3, 4, SIZE, SIZE)
    np.testing.assert_allclose(np.diff(video[:, 0], axis=1) * MOTION_STD, 10 * STEPS[label], rtol=1e-5)
    assert not video[:, 1:].any()
    assert mapped["label"] == label


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mappers that keep the still background."""
    monkeypatch.setattr("eva_demos.video.playback_mappers.motion", lambda frames: frames.transpose(3, 0, 1, 2))


def corner(view: np.ndarray) -> tuple[int, int, int]:
    """Index of the first frame, row and column of a view."""
    frame, row, column = view[:, 0, 0, 0].tolist()
    return frame // 10, row, column


@pytest.mark.usefixtures("still")
def test_training_starts_and_crops_at_all_positions():
    mapper, fastest = PlaybackTrainingMapper(SIZE, 4), record(STEPS.index(4))
    seen = {corner(mapper(fastest)["video"]) for _ in range(2000)}
    assert seen == {(frame, row, column) for frame in range(4) for row in range(4) for column in range(9)}


@pytest.mark.usefixtures("still")
def test_views_are_evenly_spaced():
    mapper = PlaybackEvaluationMapper(SIZE, 4, num_clips=2, num_crops=3)
    mapped = mapper(record(STEPS.index(2)))
    positions = [(frame, 1, column) for frame in (0, 9) for column in (0, 4, 8)]
    assert [corner(view) for view in mapped["video"]] == positions
    assert mapped["view"].tolist() == [[clip, crop] for clip in range(2) for crop in range(3)]
    assert mapper.num_views == 6
    (single,) = PlaybackEvaluationMapper(SIZE, 4, num_clips=1, num_crops=1)(record(0))["video"]
    assert corner(single) == (6, 1, 4)
    tall = {**record(0), "block": record(0)["block"].transpose(0, 2, 1, 3)}
    assert [corner(view)[1:] for view in mapper(tall)["video"][:3]] == [(1, 0), (1, 4), (1, 8)]


def test_a_video_file_is_seen_like_a_block_that_is_played_forward():
    mapper = PlaybackEvaluationMapper(SIZE, 4)
    found = mapper(record(0))
    frames = record(0)["block"][mapper.frame_sampler(16)]
    pixels, views = mapper.transform(frames, 3)
    np.testing.assert_array_equal(pixels, found["video"])
    np.testing.assert_array_equal(views, found["view"])
    assert mapper.frame_sampler(10).reshape(3, 4)[:, 0].tolist() == [0, 3, 6]
    assert mapper.frame_sampler(2).tolist() == 3 * [0, 1, 1, 1]
    assert mapper.transform.prepare(np.zeros((30, 20, 3), np.uint8)).shape == (SIZE * 3 // 2, SIZE, 3)


@pytest.mark.parametrize("make", [PlaybackTrainingMapper, PlaybackEvaluationMapper])
@pytest.mark.parametrize(
    ("size", "num_frames", "message"),
    [
        (SIZE, 5, "num_frames=5 at 4x do not fit into 16 frames; give 1 to 4"),
        (SIZE, 0, "num_frames=0"),
        (HEIGHT + 1, 4, "a crop of 10 pixels does not fit into frames of 14 x 9"),
    ],
)
def test_samples_and_crops_that_do_not_fit(make, size, num_frames, message):
    with pytest.raises(InputError, match=message):
        make(size, num_frames)(record(0))


@pytest.mark.parametrize("label", range(len(STEPS)))
def test_reversed_clips_belong_to_the_class_of_the_other_direction(label):
    other = STEPS.index(-STEPS[label])
    pixels = [motion(play(record(kind), 4, 1)) for kind in (label, other)]
    batch = ForwardBackwardCollate()([{"video": pixels[0], "label": label, "file_name": "a"}] * 2)
    assert batch["label"].tolist() == [label, label, other, other]
    assert len(batch["video"]) == ForwardBackwardCollate.clips_per_sample * 2
    for number, expected in enumerate((0, 0, 1, 1)):
        np.testing.assert_array_equal(batch["video"][number], pixels[expected])
