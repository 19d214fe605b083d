"""torchcodec gives the same frames as PyAV; skipped where torchcodec cannot be loaded."""

import numpy as np
import pytest
from coded_clips import HEIGHT, WIDTH, read_codes, write_coded

from eva_backbone.errors import InputError
from eva_video.data import read_clip, torchcodec_decoding
from eva_video.data.torchcodec_decoding import load_torchcodec, read_clip_torchcodec

needs_torchcodec = pytest.mark.skipif(load_torchcodec() is None, reason="torchcodec cannot be loaded")

FILES = {
    "groups_of_12.mp4": {"g": 12, "bf": 2},
    "groups_of_250.mp4": {"g": 250, "bf": 3, "keyint_min": 250, "sc_threshold": 0},
    "open_groups.mkv": {"bf": 3, "x264_params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0"},
    "uneven.mp4": {"g": 30, "times": np.cumsum(np.random.default_rng(0).integers(100, 3000, 60)).tolist()},
    "mpeg4.avi": {"codec": "mpeg4", "bf": 2, "g": 30, "b": 400000},
    "vp9.webm": {"codec": "libvpx-vp9", "g": 60, "auto-alt-ref": 1, "lag-in-frames": 16, "cpu-used": 8},
}


@needs_torchcodec
@pytest.mark.parametrize("name", FILES)
def test_sampled_frames_are_read_by_torchcodec(tmp_path, name):
    path = str(write_coded(tmp_path / name, num_frames=60, **FILES[name]))
    for numbers in (np.array([7, 3, 3, 59, 0]), np.arange(60)):
        clip = read_clip_torchcodec(path, lambda _, numbers=numbers: numbers)
        assert read_codes(clip.frames) == numbers.tolist()
        assert (clip.num_frames, clip.problem) == (60, None)
        np.testing.assert_array_equal(clip.frames, read_clip(path, lambda _, numbers=numbers: numbers).frames)


@needs_torchcodec
def test_frames_are_upright(tmp_path):
    path = write_coded(tmp_path / "turned.mp4", num_frames=4, change=lambda s: s.set_display_rotation(90))
    clip = read_clip_torchcodec(str(path), np.arange)
    assert clip.frames.shape == (4, WIDTH, HEIGHT, 3)
    np.testing.assert_array_equal(clip.frames, read_clip(str(path), np.arange).frames)


@needs_torchcodec
@pytest.mark.parametrize("kept", [0, 0.5])
def test_unusable_files_are_reported_with_torchcodec(tmp_path, kept):
    complete = write_coded(tmp_path / "complete.mp4", num_frames=30).read_bytes()
    path = tmp_path / "bad.mp4"
    path.write_bytes(complete[: int(len(complete) * kept)])
    with pytest.raises(InputError, match=f"^{path}: "):
        read_clip_torchcodec(str(path), np.arange)


@needs_torchcodec
def test_files_that_torchcodec_rejects_are_read_with_pyav(tmp_path):
    complete = write_coded(tmp_path / "complete.mp4", num_frames=60, g=12, movflags="faststart").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(complete[: len(complete) * 6 // 10])
    codes = read_codes(read_clip_torchcodec(str(path), np.arange).frames)
    assert len(codes) > 10
    assert codes == sorted(set(codes))


def test_files_without_display_order_are_read_with_pyav(tmp_path, monkeypatch):
    monkeypatch.setattr(torchcodec_decoding, "load_torchcodec", lambda: pytest.fail)
    path = write_coded(tmp_path / "reordered.avi", num_frames=30, bf=3, g=12, x264_params="b-adapt=0")
    clip = read_clip_torchcodec(str(path), np.arange)
    assert read_codes(clip.frames) == list(range(30))


@pytest.mark.skipif(load_torchcodec() is not None, reason="torchcodec can be loaded")
def test_the_error_without_torchcodec_suggests_a_fix(tmp_path):
    with pytest.raises(InputError, match=r'torchcodec cannot be loaded here; .* choose the decoder "pyav"'):
        read_clip_torchcodec(str(tmp_path / "x.mp4"), np.arange)
