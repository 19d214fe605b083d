"""Videos, decoded and encoded one frame at a time with PyAV."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace

from eva_backbone.errors import InputError

from .images import MAX_PIXELS

# FFmpeg guesses the container from the content. Formats that name further files or addresses (playlists) stay out.
CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,m4v,h264,hevc"
MAX_DAMAGED_IN_A_ROW = 100


@dataclass(frozen=True)
class VideoFrame:
    """A frame as displayed: ``image`` [H, W, 3] uint8 RGB, ``pts`` in the reader's time base, ``time`` in seconds."""

    image: np.ndarray
    pts: int | None
    time: float


class VideoReader:
    """The frames of a video file in the order of display, turned upright by the file's rotation.

    Attributes:
        rate: frames a second, as far as the file says.
        time_base: seconds in one unit of ``VideoFrame.pts``.
        num_frames: the file's own claim, or None; not to be relied on.
        problem: after iterating, what was wrong with the file although frames were decoded, or None.

    Raises:
        InputError: the file is no video, has no picture in it (sound only), or frames above ``max_pixels``.
    """

    def __init__(self, path: str | Path, max_pixels: int = MAX_PIXELS):
        self.path = Path(path)
        self.max_pixels = max_pixels
        self.problem: str | None = None
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        try:
            self._container = av.open(str(path), container_options=options)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = "it is empty" if self.path.is_file() and self.path.stat().st_size == 0 else _reason(error)
            raise InputError(f"{path}: no readable video ({reason}): replace the file or leave it out.") from error
        try:
            streams = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
            if not streams:
                raise InputError(f"{path}: has no video in it, only {self._contents()}: leave it out.")
            self._stream = streams[0]
            if self._stream.codec_context is None:
                raise InputError(f"{path}: its video format cannot be decoded here: convert it to H.264 first.")
            self._check_size(self._stream.codec_context.width, self._stream.codec_context.height)
            self._stream.thread_type = "AUTO"
        except BaseException:
            self._container.close()
            raise
        self.rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.time_base = self._stream.time_base or Fraction(1, 90000)
        self.num_frames = self._stream.frames or None
        self._end = end_of_whole(self._container, self._stream)

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        count, size, end = 0, None, 0.0
        for frame in self._decoded():
            if size not in (None, (frame.width, frame.height)):
                self.problem = f"its pictures change size after {count} frames"
                return
            size = frame.width, frame.height
            self._check_size(*size)
            try:
                image = turn_upright(frame.to_ndarray(format="rgb24"), frame)
            except (av.FFmpegError, ValueError) as error:
                self.problem = f"pixels of format {frame.format.name} cannot be converted ({_reason(error)})"
                break
            time = frame.time if frame.time is not None else count / float(self.rate)
            end = max(end, time)
            yield VideoFrame(image, frame.pts, time)
            count += 1
        if count == 0:
            reason = self.problem or "it has none"
            raise InputError(f"{self.path}: no frame of this video can be read ({reason}): leave the file out.")
        # A file cut off in the middle ends without any error from the decoder.
        if self.problem is None and self.num_frames and self.num_frames > count and end < self._end:
            self.problem = f"it ends after {count} of {self.num_frames} frames"

    def _decoded(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        num_damaged, in_a_row = 0, 0
        while in_a_row < MAX_DAMAGED_IN_A_ROW:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self.problem = f"reading stopped: {_reason(error)}"
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                num_damaged, in_a_row = num_damaged + 1, in_a_row + 1
                self.problem = f"{num_damaged} damaged frames were left out ({_reason(error)})"
                continue
            in_a_row = 0 if frames else in_a_row
            yield from frames

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            size = f"{width}x{height}"
            limit = f"at most {self.max_pixels:,} are read"
            raise InputError(f"{self.path}: {size} pixels a frame, {limit}: make it smaller first.")

    def _contents(self) -> str:
        return ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing readable"


class VideoWriter:
    """An H.264 file in MP4, or in whatever the suffix says, written frame by frame; sound is not carried over.

    Args:
        path: file to write.
        width, height: pixels of the frames; an odd size gets one more row or column, as the format demands.
        rate: frames a second, for players.
        time_base: unit of the ``pts`` given to :meth:`write`; the distances between frames are kept.
    """

    def __init__(self, path: str | Path, width: int, height: int, rate: Fraction, time_base: Fraction):
        self._padding = ((0, height % 2), (0, width % 2), (0, 0))
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = time_base
        # Tagged, because players guess differently for untagged files and colours would shift.
        self._stream.codec_context.colorspace = Colorspace.ITU709
        self._stream.codec_context.color_range = ColorRange.MPEG
        self._step = max(1, round(1 / (rate * time_base)))
        self._first: int | None = None
        self._last = -self._step

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def write(self, image: np.ndarray, pts: int | None) -> None:
        """Append [H, W, 3] uint8 RGB; a missing or backward ``pts`` is put right after the frame before."""
        frame = av.VideoFrame.from_ndarray(np.pad(image, self._padding, mode="edge"), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        self._first = pts if self._first is None else self._first
        shifted = None if pts is None or self._first is None else pts - self._first
        frame.pts = shifted if shifted is not None and shifted > self._last else self._last + self._step
        self._last = frame.pts
        frame.time_base = self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))


def end_of_whole(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """The last frame of a file that is not cut off begins later than this, in seconds; 0 where the file does not tell.

    A file can count more frames than it has and be whole: edit lists leave some out, and in AVI files empty packets
    count. The duration of AVI files follows from their size, so that of a file cut off tells nothing.
    """
    rate, unit = stream.average_rate or stream.guessed_rate, stream.time_base
    if not rate or not unit:
        return 0.0
    length = stream.frames if container.format.name == "avi" else stream.duration or 0
    return float(((stream.start_time or 0) + length) * unit - Fraction(3, 2) / rate)


def turn_upright(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """`image` [H, W, 3] of `frame`, turned and mirrored by the file's display matrix.

    Right angles only, as cameras write them.
    """
    side_data = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]  # PyAV: names only, takes both
    if side_data is None:
        return image
    # Rows of the matrix are (a, b, u), (c, d, v), (x, y, w): a stored pixel (p, q) is shown at (a p + c q, b p + d q).
    a, b, _, c, d = np.frombuffer(side_data, dtype=np.int32)[:5].astype(np.int64)
    if abs(a) + abs(d) < abs(b) + abs(c):
        image = image.transpose(1, 0, 2)
        a, d = c, b
    image = image[:, ::-1] if a < 0 else image
    image = image[::-1] if d < 0 else image
    return np.ascontiguousarray(image)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
