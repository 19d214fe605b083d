"""Reading and writing videos: orientation, timestamps, colours, and broken files."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from eva_backbone.errors import InputError
from eva_engine.prediction.video import VideoReader, VideoWriter

CORNERS = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]]], dtype=np.uint8)
IMAGE = CORNERS.repeat(32, axis=0).repeat(48, axis=1)  # 64 rows, 96 columns


def write_clip(path: Path, num_frames: int = 4, rotation: int | None = None, hflip: bool = False, **options) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=hflip)
        noise = np.random.default_rng(0)
        for _ in range(num_frames):
            image = IMAGE + noise.integers(0, 5, IMAGE.shape, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def corners(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return image[height // 4 :: height // 2, width // 4 :: width // 2].astype(int)


@pytest.mark.parametrize(
    ("rotation", "hflip", "shown"),
    [
        (None, False, CORNERS),
        (90, False, np.rot90(CORNERS)),  # counter-clockwise
        (180, False, np.rot90(CORNERS, 2)),
        (270, False, np.rot90(CORNERS, 3)),
        (0, True, CORNERS[:, ::-1]),
    ],
)
def test_frames_are_upright(tmp_path, rotation, hflip, shown):
    with VideoReader(write_clip(tmp_path / "clip.mp4", rotation=rotation, hflip=hflip)) as reader:
        frames = list(reader)
    assert len(frames) == 4
    assert reader.problem is None
    assert frames[0].image.shape == ((96, 64, 3) if rotation in (90, 270) else (64, 96, 3))
    np.testing.assert_allclose(corners(frames[3].image), shown, atol=25)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (63, 95), (2, 2)])
def test_written_frames_keep_times_and_colours(tmp_path, height, width):
    path = tmp_path / "out.mp4"
    image = IMAGE[:height, :width]
    times = [1000, 4003, None, 3000, 40000, 43003]  # in units of 1/90000 s; one is missing and one goes backward
    with VideoWriter(path, width, height, Fraction(30000, 1001), Fraction(1, 90000)) as writer:
        for pts in times:
            writer.write(image, pts)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [round(frame.time * 90000) for frame in frames] == [0, 3003, 6006, 9009, 39000, 42003]
    assert frames[0].image.shape == (height + height % 2, width + width % 2, 3)
    # Compression blurs edges between colours a little; a frame stretched by one pixel would move them.
    np.testing.assert_allclose(frames[-1].image[:height, :width].astype(int), image, atol=80)
    np.testing.assert_allclose(frames[-1].image[:height, :width].mean((0, 1)), image.mean((0, 1)), atol=4)


def test_a_truncated_file_gives_its_first_frames_and_a_problem(tmp_path):
    complete = write_clip(tmp_path / "complete.mp4", num_frames=60, movflags="faststart").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(complete[: len(complete) * 6 // 10])
    with VideoReader(cut) as reader:
        frames = list(reader)
    assert 5 < len(frames) < 60
    assert reader.problem  # "it ends after 35 of 60 frames", or what the decoder reports for the truncated frame


def test_a_change_of_frame_size_ends_the_video(tmp_path):
    path = tmp_path / "raw.h264"
    small = write_clip(tmp_path / "small.h264", num_frames=3).read_bytes()
    with av.open(str(tmp_path / "large.h264"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(IMAGE.repeat(2, 0).repeat(2, 1), format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(small + (tmp_path / "large.h264").read_bytes())
    with VideoReader(path, max_pixels=96 * 64) as reader:
        assert [frame.image.shape for frame in reader] == [(64, 96, 3)] * 3
    assert "frame size changes after 3 frames" in reader.problem


def test_damaged_frames_are_counted(tmp_path):
    complete = bytearray(write_clip(tmp_path / "complete.mp4", num_frames=60, movflags="faststart").read_bytes())
    start = complete.index(b"mdat") + len(complete) // 3
    complete[start : start + len(complete) // 4] = bytes(len(complete) // 4)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(complete)
    with VideoReader(damaged) as reader:
        frames = list(reader)
    assert 5 < len(frames) < 60
    assert "damaged" in reader.problem


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def playlist(path: Path) -> None:
    write_clip(path.with_name("secret.mp4"))
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"hello" * 999), "not a readable video"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(50_000)), "not a readable video"),
        (lambda path: path.write_bytes(write_clip(path).read_bytes()[:1000]), "not a readable video"),
        (audio_only, "only audio"),
        (playlist, "not a readable video"),
        (lambda _: None, "no such video file"),
    ],
)
def test_unusable_files_are_reported(tmp_path, make, reason):
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(InputError, match=reason) as error:
        VideoReader(path)
    assert str(error.value).startswith(str(path))


def test_huge_frames_are_refused(tmp_path):
    with pytest.raises(InputError, match="its frames have 96x64 pixels, more than the limit of 1,000"):
        VideoReader(write_clip(tmp_path / "clip.mp4"), max_pixels=1000)
