"""Frames of cameras, RTSP streams and HTTP addresses have the interface of a video file."""

import io
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import count, islice
from pathlib import Path

import av
import numpy as np
import pytest
from loopback_files import Answer, Files, body, served_files

from eva_backbone.errors import InputError
from eva_engine.prediction import frame_source, live_video
from eva_engine.prediction.frame_source import opened_frames
from eva_engine.prediction.in_order import InOrder
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.prefetch import Prefetch

WIDTH, HEIGHT, RATE = 64, 48, 10


def image(number: int) -> np.ndarray:
    """The grey level of a frame is its number, times 8."""
    return np.full((HEIGHT, WIDTH, 3), number * 8 % 256, np.uint8)


def encoded(num_frames: int, container_format: str = "mpegts", start: int = 0) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format=container_format) as container:
        video = container.add_stream("libx264", rate=RATE, options={"g": "5", "bf": "0", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, RATE)
        for number in range(start, start + num_frames):
            frame = av.VideoFrame.from_ndarray(image(number), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return stream.getvalue()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Files]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with served_files() as served:
        yield served
    assert not list(tmp_path.iterdir())


def video(address: str) -> Input:
    return Input(Path("clip.mp4"), "video", "clip", address)


def levels(frames: list) -> list[int]:
    return [round(float(frame.image.mean()) / 8) for frame in frames]


def test_a_video_of_stated_size_is_downloaded(files):
    files.answers["/clip.mp4"] = body(encoded(12, "mp4"))
    with opened_frames(video(f"{files.address}/clip.mp4"), frame_stride=5) as reader:
        assert (reader.num_frames, reader.is_live, reader.rate) == (12, False, RATE)
        frames = list(reader)
    assert levels(frames) == [0, 5, 10]
    assert [frame.index for frame in frames] == [0, 5, 10]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.5, 1.0])
    assert reader.problem is None
    assert reader.name == f"{files.address}/clip.mp4"


def test_a_stream_is_read_until_its_end(files):
    files.answers["/live.ts"] = body(encoded(12), length=None)
    with opened_frames(video(f"{files.address}/live.ts")) as reader:
        assert reader.is_live
        assert reader.waits
        assert levels(list(reader)) == list(range(12))
    assert reader.problem is None


def test_a_stream_without_an_end_is_stopped_while_a_thread_waits_for_it(files):
    def parts() -> Iterator[bytes]:
        yield encoded(80)  # FFmpeg looks at five seconds before it starts
        files.closing.wait()

    files.answers["/live.ts"] = Answer(parts, length=None)
    with opened_frames(video(f"{files.address}/live.ts")) as reader:
        with Prefetch(reader, 100, stop=reader.stop) as ahead:
            assert levels(list(islice(ahead, 30))) == list(range(30))
            num_waiting = -1
            while num_waiting != len(ahead._waiting):  # until the thread waits for the server
                num_waiting = len(ahead._waiting)
                time.sleep(0.3)
        assert ahead.num_dropped == 0
        assert not ahead._thread.is_alive()


def test_a_stream_that_breaks_has_a_problem(files, monkeypatch):
    monkeypatch.setattr("eva_engine.prediction.http_reader.STALL_SECONDS", 0.5)

    def parts() -> Iterator[bytes]:
        yield encoded(12)
        files.closing.wait()

    files.answers["/live.ts"] = Answer(parts, length=None)
    with opened_frames(video(f"{files.address}/live.ts")) as reader:
        assert len(list(reader)) >= 10
    assert reader.problem.startswith("no data for 0.5 s")


@pytest.mark.parametrize(
    "content",
    [
        b"<html>a page</html>" * 100,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile secret.mp4\n",
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_pages_and_playlists_are_refused(files, content, is_stream):
    files.answers["/a.mp4"] = body(content, length=None if is_stream else len(content))
    with (
        pytest.raises(InputError, match="not a readable video") as error,
        opened_frames(video(f"{files.address}/a.mp4")),
    ):
        pass
    assert str(error.value).startswith(f"{files.address}/a.mp4: ")


def test_the_download_of_a_video_is_limited(files, monkeypatch):
    monkeypatch.setattr("eva_engine.prediction.download.MAX_DOWNLOAD_BYTES", 1000)
    monkeypatch.setattr(frame_source, "MAX_DOWNLOAD_SECONDS", 5)
    files.answers["/clip.mp4"] = body(encoded(12, "mp4"))
    with pytest.raises(InputError, match="more than 1,000 bytes"), opened_frames(video(f"{files.address}/clip.mp4")):
        pass


def test_a_camera_is_opened_by_its_device_and_loses_frames_that_are_not_taken(monkeypatch):
    opened: list[tuple[object, dict]] = []
    av_open = av.open

    def simulated(source: object, **options: object) -> object:
        opened.append((source, options))
        return av_open("testsrc=size=64x48:rate=50,realtime", format="lavfi")

    monkeypatch.setattr(live_video.av, "open", simulated)
    with opened_frames(Input(Path("video3"), "video", "video3", "/dev/video3")) as reader:
        assert opened[0][0] == "/dev/video3"
        assert opened[0][1]["format"] == "v4l2"
        assert (reader.name, reader.rate, reader.num_frames) == ("/dev/video3", 50, None)
        assert (reader.is_live, reader.waits) == (True, False)
        with Prefetch(reader, 1, drops_old=True, stop=reader.stop) as ahead:
            frames = iter(ahead)
            indices = [next(frames).index]
            with ahead._changed:  # the caller works meanwhile, until frames have been lost
                ahead._changed.wait_for(lambda: ahead.num_dropped > 3)
            indices += [next(frames).index, next(frames).index]
        assert indices[1] > 4
        assert indices == sorted(indices)


def test_cameras_that_cannot_be_opened(tmp_path):
    with pytest.raises(InputError, match=r"^/dev/video87: there is no such camera; connect it"):
        live_video.LiveReader("/dev/video87")
    (tmp_path / "video").touch()
    with pytest.raises(InputError, match=r"the camera cannot be opened \(.*\); close other programs"):
        live_video.LiveReader(str(tmp_path / "video"))


class RtspServer:
    """Answer one client with an MPEG transport stream over TCP (RFC 2326, RFC 2250)."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.transports: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        client, _ = self.socket.accept()
        with client, client.makefile("rb") as requests:
            while line := requests.readline().decode():
                method = line.split()[0]
                headers: dict[str, str] = {}
                while header := requests.readline().decode().strip():
                    name, _, value = header.partition(": ")
                    headers[name.lower()] = value
                self.answer(client, method, headers)
                if method == "PLAY":
                    self.play(client)
                    return

    def answer(self, client: socket.socket, method: str, headers: dict[str, str]) -> None:
        lines = ["RTSP/1.0 200 OK", f"CSeq: {headers['cseq']}"]
        text = ""
        if method == "OPTIONS":
            lines.append("Public: DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif method == "DESCRIBE":
            text = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n"
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(text)}"]
        else:
            self.transports += [headers["transport"]] if method == "SETUP" else []
            lines += ["Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n" + text).encode())

    def play(self, client: socket.socket) -> None:
        size = 7 * 188
        for number, start in zip(count(), range(0, len(self.content), size), strict=False):
            header = bytes([0x80, 33]) + number.to_bytes(2) + (number * 900).to_bytes(4) + b"\0\0\0\1"
            packet = header + self.content[start : start + size]
            client.sendall(b"$\0" + len(packet).to_bytes(2) + packet)


def test_an_rtsp_stream_over_tcp():
    server = RtspServer(encoded(60))
    with opened_frames(video(f"rtsp://me:secret@127.0.0.1:{server.port}/live")) as reader:
        assert reader.name == f"rtsp://127.0.0.1:{server.port}/live"
        frames = list(islice(reader, 20))
    assert [level - levels(frames)[0] for level in levels(frames)] == list(range(20))
    assert "TCP" in server.transports[0]


def test_an_rtsp_address_without_server_is_one_sentence():
    with pytest.raises(InputError, match=r"^rtsp://127\.0\.0\.1:9/live: the stream cannot be opened \(.*\); check"):
        live_video.LiveReader("rtsp://me:secret@127.0.0.1:9/live")


def test_prefetch_is_bounded_and_raises_the_error_after_the_items_before_it():
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            if number == 7:
                raise InputError("the eighth is broken")
            taken.append(number)
            yield number

    found: list[int] = []

    def take() -> None:
        with Prefetch(items(), 3) as ahead:
            for item in ahead:
                found.append(item)
                assert len(taken) <= item + 1 + 3 + 1

    with pytest.raises(InputError, match="the eighth"):
        take()
    assert found == list(range(7))


def test_functions_run_in_order_and_not_after_an_error():
    done: list[int] = []

    def add(number: int) -> None:
        if number == 3:
            raise OSError("full disk")
        done.append(number)

    def run() -> None:
        with InOrder() as behind:
            for number in range(100):
                behind.run(add, number)

    with pytest.raises(OSError, match="full disk"):
        run()
    assert done == [0, 1, 2]
