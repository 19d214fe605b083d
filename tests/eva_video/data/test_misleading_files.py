"""Files with misleading timestamps, keyframe marks and frame counts."""

import re
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from coded_clips import RATE, read_codes, write_coded

from eva_engine.prediction.video import VideoReader
from eva_video.data import read_clip

NUM_FRAMES = 48
REORDERED = {"bf": 3, "g": 12, "x264_params": "b-adapt=0:b-pyramid=normal"}
START_CODE = b"\x00\x00\x01"


def assert_codes(path: Path, codes: list[int], problem: str | None = None) -> None:
    """Check that each frame read alone, and all frames read together, are those of `codes` in display order."""
    for numbers in [*([number] for number in range(len(codes))), range(len(codes))]:
        clip = read_clip(str(path), lambda _, numbers=numbers: np.array(numbers))
        assert read_codes(clip.frames) == [codes[number] for number in numbers]
        assert (clip.num_frames, clip.problem) == (len(codes), problem)


def write_packed(path: Path) -> Path:
    """Write DivX's "packed bitstream": a frame in one packet with the B-frame shown before it, then a filler packet."""
    stream = write_coded(path.with_suffix(".m4v"), NUM_FRAMES, "mpeg4", bf=1, g=13, b=400000).read_bytes()
    frame_starts = [match.start() for match in re.finditer(START_CODE + b"\xb6", stream)]
    starts = [0, *(stream.index(START_CODE, position + 4) for position in frame_starts[:-1]), len(stream)]
    units = [stream[first:last] for first, last in pairwise(starts)]
    kinds = [stream[position + 4] >> 6 for position in frame_starts]  # 0: keyframe, 2: B-frame
    template = write_coded(path.with_name("template.avi"), 3, "mpeg4", bf=1)
    with av.open(str(template)) as reader, av.open(str(path), "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for number, (unit, kind) in enumerate(zip(units, kinds, strict=True)):
            content = START_CODE + b"\xb6\x51\x00\x7f" if kind == 2 else unit
            if kinds[number + 1 : number + 2] == [2]:
                content = unit.replace(START_CODE + b"\xb6", START_CODE + b"\xb2DivX503b1393p" + START_CODE + b"\xb6")
                content += units[number + 1]
            packet = av.Packet(content)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = 1 / RATE, copy, kind == 0
            writer.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.avi", REORDERED),
        ("h264.asf", REORDERED),
        ("mpeg2.asf", {"codec": "mpeg2video", "bf": 2, "g": 12, "b": 2000000}),
    ],
)
def test_containers_that_store_decoding_times(tmp_path, name, options):
    assert_codes(write_coded(tmp_path / name, NUM_FRAMES, **options), list(range(NUM_FRAMES)))


def test_packed_bitstream(tmp_path):
    assert_codes(write_packed(tmp_path / "packed.avi"), list(range(NUM_FRAMES)))


def test_every_frame_marked_as_a_keyframe(tmp_path):
    path = write_coded(tmp_path / "unmarked.mp4", NUM_FRAMES, "mpeg4", g=12, b=400000)
    path.write_bytes(
        path.read_bytes().replace(b"stss", b"free")
    )  # the list of keyframes; without it, all frames count as keyframes
    assert_codes(path, list(range(NUM_FRAMES)))


def test_keyframes_that_only_start_an_intra_refresh(tmp_path):
    path = write_coded(tmp_path / "refreshed.mkv", 120, g=12, bf=0, x264_params="intra-refresh=1")
    for number in range(100, 112):
        clip = read_clip(str(path), lambda _, number=number: np.array([number]))
        assert read_codes(clip.frames) == [number]


@pytest.mark.parametrize("shift", [7, 90])
def test_concatenated_recordings_with_restarting_timestamps(tmp_path, shift):
    """The timestamps of the second part lie between those of the first, or before them."""
    times = [1000 + 512 * number for number in range(20)]
    later = write_coded(tmp_path / "later.ts", 20, times=[time + 512 * 90 for time in times], bf=2)
    earlier = write_coded(tmp_path / "earlier.ts", 20, times=[time + 512 * shift + 200 for time in times], bf=2)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(later.read_bytes() + earlier.read_bytes())
    clip = read_clip(str(joined), np.arange)
    assert read_codes(clip.frames) == [*range(20), *range(20)]


def test_lost_packets_are_reported(tmp_path):
    complete = write_coded(tmp_path / "complete.ts", NUM_FRAMES, g=12, bf=2).read_bytes()
    path = tmp_path / "lossy.ts"
    path.write_bytes(complete[: 188 * 40] + complete[188 * 43 :])
    assert read_clip(str(path), np.arange).problem == "parts of it are damaged"


def shorten_edit(path: Path, num_frames: int) -> Path:
    """Change the edit list to show `num_frames` frames; the sample table still has all."""
    content = path.read_bytes()
    start = content.index(b"elst") + 12  # after the name, version, flags and number of entries
    milliseconds = round(1000 * num_frames / RATE)
    path.write_bytes(content[:start] + milliseconds.to_bytes(4, "big") + content[start + 4 :])
    return path


def write_with_drops(path: Path) -> Path:
    """Write a file with an empty packet (a dropped frame) after every third frame; the header counts them."""
    source = write_coded(path.with_name("source.avi"), NUM_FRAMES, "mpeg4", g=1, b=400000)
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(packet for packet in reader.demux(video=0) if packet.size):
            packet.pts = packet.dts = number + number // 3
            packet.stream = copy
            writer.mux(packet)
    return path


@pytest.mark.parametrize(("kind", "shown"), [("edited.mp4", 12), ("dropped.avi", NUM_FRAMES)])
def test_complete_files_with_fewer_frames_than_declared(tmp_path, kind, shown):
    path = tmp_path / kind
    if kind == "edited.mp4":
        shorten_edit(write_coded(path, NUM_FRAMES, g=12, bf=2), shown)
    else:
        write_with_drops(path)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > shown
    assert_codes(path, list(range(shown)))
    with VideoReader(path) as reader:
        assert len(list(reader)) == shown
    assert reader.problem is None


@pytest.mark.parametrize("name", ["cut.mp4", "cut.avi"])
def test_truncated_files_are_reported(tmp_path, name):
    options = {"movflags": "faststart"} if name == "cut.mp4" else {}
    path = write_coded(tmp_path / name, NUM_FRAMES, "mpeg4", g=1, **options)
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: positions[20]])  # after a complete frame
    assert_codes(path, list(range(20)), f"it ends after 20 of {NUM_FRAMES} frames")
    with VideoReader(path) as reader:
        assert len(list(reader)) == 20
    assert reader.problem == f"it ends after 20 of {NUM_FRAMES} frames"
