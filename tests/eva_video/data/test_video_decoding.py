"""Read exactly the sampled frames of clips whose pixels carry the frame number, and reject bad files."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from coded_clips import HEIGHT, WIDTH, coded_image, read_codes, remux, write_coded

from eva_backbone.errors import InputError
from eva_engine.prediction.video import VideoReader
from eva_video.data import decoding, packet_reader, read_clip, video_demuxer
from eva_video.data.packet_index import index_packets

NUM_FRAMES = 300
OPEN_GROUPS = "open-gop=1:keyint=12:min-keyint=12:scenecut=0"
UNEVEN = np.cumsum(np.random.default_rng(0).integers(100, 3000, NUM_FRAMES)).tolist()

FILES = {
    "groups_of_12.mp4": {"g": 12, "bf": 2},
    "groups_of_30.mp4": {"g": 30, "bf": 3},
    "groups_of_250.mp4": {"g": 250, "bf": 3, "keyint_min": 250, "sc_threshold": 0},
    "no_b.mp4": {"g": 250, "bf": 0},
    "open_groups.mp4": {"bf": 3, "x264_params": OPEN_GROUPS},
    "open_groups.mkv": {"bf": 3, "x264_params": OPEN_GROUPS},
    "uneven.mp4": {"g": 30, "bf": 3, "times": UNEVEN},
    "uneven.mkv": {"g": 30, "bf": 3, "times": UNEVEN},
    "broadcast.ts": {"g": 30, "bf": 3},
    "fragments.mp4": {"g": 30, "bf": 3, "movflags": "frag_keyframe+empty_moov"},
    "mpeg4.mp4": {"codec": "mpeg4", "bf": 2, "g": 30, "b": 400000},
    "mpeg4.avi": {"codec": "mpeg4", "bf": 2, "g": 30, "b": 400000},
    "vp9.webm": {"codec": "libvpx-vp9", "g": 60, "auto-alt-ref": 1, "lag-in-frames": 16, "cpu-used": 8},
    "vp8.webm": {"codec": "libvpx", "g": 60, "auto-alt-ref": 1, "lag-in-frames": 16, "cpu-used": 5, "b": 300000},
}
# Frames have no timestamps, or cannot be decoded from the keyframes of the file.
COUNTED = {
    "raw.h264": {"g": 30, "bf": 3},
    "refreshed.mp4": {"g": 30, "x264_params": "intra-refresh=1"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return write_coded(folder / "plain.mp4", g=12, bf=2, movflags="faststart")


@pytest.fixture
def counting(monkeypatch) -> list[str]:
    """Paths of the files whose frames were counted by decoding all of them."""
    counted = []
    decode_all = decoding._decode_all

    def spy(container: video_demuxer.VideoDemuxer) -> Iterator[av.VideoFrame]:
        counted.append(container.path)
        return decode_all(container)

    monkeypatch.setattr(decoding, "_decode_all", spy)
    return counted


def index_sets(total: int) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    drawn = [generator.integers(0, total, 12) for _ in range(4)]
    return [*drawn, np.sort(drawn[0]), np.repeat(drawn[1], 2), np.array([0]), np.array([total - 1, 0])]


def assert_exact(path: Path, total: int = NUM_FRAMES, first: int = 0) -> None:
    for numbers in [*index_sets(total), np.arange(total)]:
        clip = read_clip(
            str(path), lambda found, numbers=numbers: numbers if found == total else pytest.fail(str(found))
        )
        assert read_codes(clip.frames) == (numbers + first).tolist()
        assert (clip.num_frames, clip.problem) == (total, None)


@pytest.mark.parametrize("name", FILES)
def test_the_sampled_frames_are_read(folder, name, counting):
    assert_exact(write_coded(folder / name, **FILES[name]))
    assert counting == []


@pytest.mark.parametrize("name", COUNTED)
def test_frames_are_counted_where_packets_have_no_order(folder, name, counting):
    assert_exact(write_coded(folder / name, **COUNTED[name]))
    assert 0 < len(counting) <= len(index_sets(NUM_FRAMES)) + 1  # as many frames as packets, so one pass for each set


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_very_short_clips(tmp_path, num_frames):
    assert_exact(write_coded(tmp_path / "short.mp4", num_frames=num_frames, bf=2), num_frames)


@pytest.mark.parametrize("name", ["groups_of_12.mp4", "groups_of_30.mp4"])
def test_frames_that_an_edit_list_cuts_off_are_not_counted(tmp_path, name):
    complete = write_coded(tmp_path / name, **FILES[name])
    assert_exact(remux(complete, tmp_path / "cut.mp4", shift=10), NUM_FRAMES - 10, first=10)


@pytest.mark.parametrize("broken", ["fails", "goes to the start", "goes too far"])
def test_a_seek_that_misleads_changes_nothing(plain, broken, monkeypatch):
    seek = video_demuxer.VideoDemuxer.seek
    seeks = {
        "fails": lambda *_: False,
        "goes to the start": lambda container, _: seek(container, 0),
        "goes too far": lambda container, timestamp: seek(container, timestamp * 2),
    }
    monkeypatch.setattr(video_demuxer.VideoDemuxer, "seek", seeks[broken])
    assert_exact(plain)


def test_a_file_that_changes_between_two_passes(plain, monkeypatch, counting):
    advance = packet_reader.PacketReader._advance

    def lose_one(self) -> av.Packet:
        advance(self)
        return advance(self)

    monkeypatch.setattr(packet_reader.PacketReader, "_advance", lose_one)
    clip = read_clip(str(plain), lambda _: np.array([7, 3]))
    assert read_codes(clip.frames) == [7, 3]
    assert len(counting) == 1


def test_only_what_is_needed_is_decoded_and_kept(plain, monkeypatch):
    decoded, prepared = [], []
    decode = decoding._decode
    monkeypatch.setattr(decoding, "_decode", lambda decoder, packet: decoded.append(packet) or decode(decoder, packet))

    def shrink(image: np.ndarray) -> np.ndarray:
        prepared.append(image.shape)
        return image[::16, ::16]

    clip = read_clip(str(plain), lambda _: np.array([200, 30, 30, 201]), prepare=shrink)
    assert clip.frames.shape == (4, 3, 10, 3)
    assert prepared == [(HEIGHT, WIDTH, 3)] * 3
    assert len(decoded) < 3 * 12


@pytest.mark.parametrize(("rotation", "shape"), [(90, (WIDTH, HEIGHT, 3)), (180, (HEIGHT, WIDTH, 3))])
def test_frames_are_upright(tmp_path, rotation, shape):
    path = write_coded(tmp_path / "turned.mp4", num_frames=4, change=lambda s: s.set_display_rotation(rotation))
    frames = read_clip(str(path), np.arange).frames
    assert frames.shape == (4, *shape)
    assert read_codes(np.rot90(frames, -rotation // 90, axes=(1, 2))) == [0, 1, 2, 3]
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(frames, np.stack([frame.image for frame in reader]))


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_bad(kind: str, path: Path, plain: Path) -> Path:
    complete = plain.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(50000))
    elif kind == "playlist":
        path = path.with_suffix(".m3u8")
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{plain}\n#EXT-X-ENDLIST\n")
    elif kind == "header only":
        path.write_bytes(complete[:3000])
    elif kind == "cut before its index":
        tail_index = write_coded(path.with_name("tail.mp4"), num_frames=60).read_bytes()
        path.write_bytes(tail_index[: len(tail_index) // 2])
    elif kind == "folder":
        path.mkdir()
    elif kind == "audio":
        write_audio(path)
    return path


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("empty", r"not a readable video \(the file is empty\); replace the file"),
        ("noise", "not a readable video|no frame"),
        ("playlist", "not a readable video"),
        ("header only", "not a readable video|no frame"),
        ("cut before its index", "not a readable video"),
        ("folder", "not a regular file"),
        ("gone", "no such video file"),
        ("audio", "has no video stream, only audio"),
    ],
)
def test_unusable_files_are_reported(tmp_path, plain, kind, sentence):
    path = make_bad(kind, tmp_path / "bad.mp4", plain)
    with pytest.raises(InputError, match=f"^{path}: .*({sentence})") as error:
        read_clip(str(path), np.arange)
    assert "\n" not in str(error.value)


def test_a_truncated_file_gives_its_frames(tmp_path, plain):
    complete = plain.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(complete[: len(complete) * 6 // 10])
    clip = read_clip(str(path), np.arange)
    assert 50 < clip.num_frames < NUM_FRAMES
    assert read_codes(clip.frames) == list(range(clip.num_frames))
    assert "frames" in clip.problem


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files_give_frames_or_an_error(tmp_path, plain, seed):
    generator = np.random.default_rng(seed)
    content = bytearray(plain.read_bytes())
    # Half of the cases damage the index at the beginning, the others any part of the file.
    positions = generator.integers(0, 8000 if seed % 2 else len(content), 60)
    for position in positions:
        content[position] = generator.integers(256)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    started = time.monotonic()
    sentence, shape = "", (HEIGHT, WIDTH, 3)
    try:
        shape = read_clip(str(path), lambda total: np.arange(0, total, 20), time_limit=5).frames.shape[1:]
    except InputError as error:
        sentence = str(error)
    assert shape == (HEIGHT, WIDTH, 3)
    assert sentence == "" or sentence.startswith(f"{path}: ")
    assert time.monotonic() - started < 20  # a hang, not a measurement


@pytest.mark.parametrize(
    ("marks", "content", "frames"),
    [
        ({}, b"\x10", 3),
        ({"is_discard": True}, b"\x10", 2),
        ({"is_corrupt": True}, b"\x10", 2),
        ({}, b"\x00", 2),  # VP8: hidden
    ],
)
def test_packets_that_are_not_frames(marks, content, frames):
    class Packet(SimpleNamespace):
        def __bytes__(self) -> bytes:
            return self.content

    plain_marks = {"is_keyframe": True, "is_discard": False, "is_corrupt": False, "content": b"\x10"}
    packets = [Packet(pts=time, dts=None, **plain_marks) for time in (0, 1)]
    packets.insert(1, Packet(pts=5, dts=None, **{**plain_marks, "content": content, **marks}))
    stream = SimpleNamespace(codec_context=SimpleNamespace(name="vp8", has_b_frames=False))
    index = index_packets(SimpleNamespace(stream=stream, packets=lambda: iter(packets)))
    assert index.num_frames == frames
    assert [index.packet_of(frame) for frame in range(frames)] == [0, 2, 1][:frames]


def test_frames_of_two_sizes(tmp_path):
    one = write_coded(tmp_path / "one.h264", num_frames=5).read_bytes()
    with av.open(str(tmp_path / "two.h264"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(coded_image(0)[:32, :64].copy(), format="rgb24")))
        container.mux(stream.encode(None))
    (tmp_path / "both.h264").write_bytes(one + (tmp_path / "two.h264").read_bytes())
    with pytest.raises(InputError, match="frame size changes"):
        read_clip(str(tmp_path / "both.h264"), np.arange)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"time_limit": 0.0}, "reading takes more than 0 s"),
        ({"max_pixels": 5000}, "its frames have 160x48 pixels, more than the limit of 5,000|not a readable video"),
    ],
)
def test_limits(plain, options, sentence):
    with pytest.raises(InputError, match=sentence):
        read_clip(str(plain), np.arange, **options)


@pytest.mark.parametrize("name", ["timed.mp4", "raw.h264"])
def test_the_time_limit_is_checked_between_packets(folder, name, monkeypatch):
    path = write_coded(folder / name, g=30)
    clock = iter(range(10_000))
    monkeypatch.setattr(video_demuxer.time, "monotonic", lambda: next(clock))
    with pytest.raises(InputError, match="more than 100 s"):
        read_clip(str(path), np.arange, time_limit=100)
    assert next(clock) < 120


def test_too_many_packets(plain, monkeypatch):
    monkeypatch.setattr(video_demuxer, "MAX_PACKETS", 100)
    with pytest.raises(InputError, match="more than 100 frames"):
        read_clip(str(plain), np.arange)
