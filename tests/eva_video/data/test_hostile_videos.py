"""Videos that are made to cost memory or time out of proportion to their size, and mutated videos."""

import gc
import os
import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.prediction.video import VideoReader
from eva_video.data import read_clip
from tests.fuzz import videos as fuzz

MEASURED = """
import resource, sys, time
from eva_backbone.errors import InputError
from eva_engine.prediction.video import VideoReader
from eva_video.data import read_clip
def predict(path):
    with VideoReader(path) as reader:
        for _ in reader:
            pass
def train(path):
    read_clip(path, lambda total: [total - 1], prepare=lambda image: image[::16, ::16])
for read in (predict, train):
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        read(sys.argv[1])
    except InputError as error:
        print(error)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 10, seconds
    assert after.ru_maxrss - before.ru_maxrss < 2_000_000, after.ru_maxrss - before.ru_maxrss  # kilobytes
"""


def measure(path: Path) -> list[str]:
    """Read a file as `predict` and as training do, in a process, within 10 s of processor time and 2 GB each."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED, str(path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def read_all(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.image for frame in reader]


def read_last(path: Path) -> np.ndarray:
    return read_clip(str(path), lambda total: np.array([total - 1])).frames


READERS = (read_all, read_last)


def video(path: Path, codec: str = "libx264", **options) -> bytes:
    return fuzz.write_video(path, codec, {}, **options)


def set_number(content: bytes, table: bytes, offset: int, number: int) -> bytes:
    start = content.index(table) + 4 + offset
    return content[:start] + struct.pack(">I", number) + content[start + 4 :]


@pytest.fixture(scope="module", params=["mp4", "h264"])
def large(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("large") / f"large.{request.param}"
    fuzz.write_video(path, "libx264", {"preset": "ultrafast"}, num_frames=1, size=(6016, 6016))
    return path


@pytest.mark.parametrize("reader", READERS)
def test_frames_beyond_any_level_of_the_codecs(large, reader):
    with pytest.raises(InputError, match="its frames have 6016x6016 pixels, more than the limit of 36,000,000"):
        reader(large)


@pytest.mark.parametrize("reader", READERS)
def test_frames_with_references_and_many_bits(tmp_path, reader, monkeypatch):
    path = tmp_path / "clip.mp4"
    video(path)
    assert len(reader(path)) >= 1
    monkeypatch.setattr("eva_engine.data.video_file._MAX_REFERENCE_BYTES", 2000)
    with pytest.raises(InputError, match="its frames have 48x32 pixels of 12 bits, which is more than 2,000 bytes"):
        reader(path)


@pytest.mark.parametrize(("unit", "first"), [(b"\0\0\1\x09", True), (b"\0\0\1\x09", False), (b"\0\0\1\x0c", False)])
def test_start_codes_without_content(tmp_path, unit, first):
    path, intact = tmp_path / "codes.h264", video(tmp_path / "intact.h264")
    path.write_bytes(unit * 1_000_000 + intact if first else intact + unit * 1_000_000)
    sentences = measure(path)
    assert len(sentences) == 2
    assert all("mostly start codes" in sentence for sentence in sentences)


def test_the_most_that_is_accepted(tmp_path):
    path, intact = tmp_path / "codes.h264", video(tmp_path / "intact.h264")
    path.write_bytes(intact + b"\0\0\1\x0c" * 99_000)
    assert measure(path) == []


@pytest.mark.parametrize("reader", READERS)
def test_start_codes_in_one_packet(tmp_path, reader):
    """Beyond the part of the file that is checked when it is opened."""
    path = tmp_path / "codes.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 48, 3), np.uint8), format="rgb24")
        packets = [packet for _ in range(60) for packet in stream.encode(frame)] + stream.encode(None)
        for number, packet in enumerate(packets):
            filler = bytes(400_000) if number < 45 else b"\0\0\1\x09" * 110_000 if number == 50 else b""
            longer = av.Packet(bytes(packet) + (b"\0\0\1\x0c" + b"\xff" * len(filler) if number < 45 else filler))
            longer.stream, longer.pts, longer.dts, longer.time_base = stream, packet.pts, packet.dts, packet.time_base
            container.mux(longer)
    try:
        reader(path)
    except InputError as error:
        assert "one of its packets has 110," in str(error)  # noqa: PT017
    else:
        with VideoReader(path) as opened:
            list(opened)
        assert "one of its packets has 110," in opened.problem


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("table", "offset", "number"),
    [(b"stsz", 8, 80_000_000), (b"stts", 8, 80_000_000), (b"ctts", 8, 80_000_000), (b"trun", 4, 80_000_000)],
)
def test_tables_that_declare_many_samples(tmp_path, reader, table, offset, number):
    path = tmp_path / "declared.mp4"
    suffix, content = fuzz.originals()[table == b"trun"]
    assert suffix == "mp4"
    path.write_bytes(set_number(content, table, offset, number))
    with pytest.raises(InputError, match="its index is compressed or too long"):
        reader(path)


@pytest.mark.parametrize("reader", READERS)
def test_compressed_headers_and_long_edit_lists(tmp_path, reader):
    path, content = tmp_path / "edits.mp4", fuzz.originals()[0][1]
    path.write_bytes(content.replace(b"udta", b"cmov"))
    with pytest.raises(InputError, match="its index is compressed or too long"):
        reader(path)
    path.write_bytes(set_number(content, b"elst", 4, 1_000_000))
    with pytest.raises(InputError, match="its index is compressed or too long"):
        reader(path)


def test_one_keyframe_for_many_large_frames(tmp_path, monkeypatch):
    monkeypatch.setattr("eva_video.data.video_demuxer._SECONDS", 0.0)
    monkeypatch.setattr("eva_video.data.video_demuxer._SECONDS_PER_BYTE", 0)
    path = tmp_path / "still.mp4"
    video(path)
    with pytest.raises(InputError, match="of processor time, too much for a file of this size"):
        read_last(path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "list.mp4", "still.gif", "still.apng", "a.sdp"])
def test_formats_that_refer_to_others_or_are_images(tmp_path, reader, name):
    secret = tmp_path / "secret.mp4"
    video(secret)
    path = tmp_path / name
    if "still" in name:
        images = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        images[0].save(path, "PNG" if name.endswith("apng") else "GIF", save_all=True, append_images=images[1:])
    elif name.endswith("sdp"):
        path.write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 26\n")
    elif name.endswith("m3u8"):
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n")
    else:
        path.write_text(f"ffconcat version 1.0\nfile {secret.name}\n")
    with pytest.raises(InputError, match=f"^{path}: not a readable video"):
        reader(path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["10:30.mp4", "http:x.mp4", "pipe:0.mp4", "100%.mp4", "-i.mp4", "file:a.mp4"])
def test_names_that_look_like_addresses(tmp_path, reader, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video(Path(name).resolve())
    assert len(reader(Path(name))) >= 1


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("address", ["http://127.0.0.1:9/clip.mp4", "concat:a.mp4|b.mp4", "pipe:0"])
def test_addresses_are_not_opened(reader, address):
    with pytest.raises(InputError, match="no such video file"):
        reader(address)


@pytest.mark.parametrize("reader", READERS)
def test_pipes_are_refused(tmp_path, reader):
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        reader(path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", ["intact", "damaged"])
def test_nothing_of_ffmpeg_waits_for_the_garbage_collector(tmp_path, reader, content):
    """So that its threads end where they were started."""
    path = tmp_path / "clip.h264"
    intact = video(path)
    if content == "damaged":
        path.write_bytes(intact[:-100] + bytes(100))
    gc.freeze()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        reader(path)
        gc.collect()
        kinds = [type(found).__module__ for found in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.unfreeze()
        gc.garbage.clear()
    assert not [kind for kind in kinds if kind.startswith("av.")]


def test_mutated_videos():
    fuzz.run(rounds=200, seed=0)
