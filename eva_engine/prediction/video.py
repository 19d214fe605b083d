"""Read and write video files frame by frame, with PyAV."""

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
from eva_engine.data.image_checks import MAX_PIXELS

# FFmpeg detects the format from the content of a file. Formats that refer to other files or to addresses (playlists)
# are excluded, because an untrusted file could read anything through them.
CONTAINER_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,m4v,h264,hevc"
# Decoding stops after this many packets in a row without a frame.
MAX_CONSECUTIVE_DAMAGED = 100


@dataclass(frozen=True)
class VideoFrame:
    """A frame as it is displayed.

    Attributes:
        image: [H, W, 3] uint8 RGB, upright.
        pts: Presentation timestamp in the time base of the reader, or None if the file has none.
        time: Time of presentation in seconds.
    """

    image: np.ndarray
    pts: int | None
    time: float


class VideoReader:
    """Iterate over the frames of a video file in display order, rotated as the file's metadata says.

    Args:
        path: The video file.
        max_pixels: Largest number of pixels of a frame.

    Attributes:
        rate: Frames per second, from the file's metadata; 25 if it has none.
        time_base: Seconds per unit of `VideoFrame.pts`.
        num_frames: Number of frames in the file's metadata, or None. It can be wrong.
        problem: After iterating, what was wrong with the file although frames were decoded; None if nothing was.

    Raises:
        InputError: The file cannot be read as a video, has no video stream (only audio), or its frames have more than
            `max_pixels` pixels; while iterating, also if no frame can be decoded.
    """

    def __init__(self, path: str | Path, max_pixels: int = MAX_PIXELS):
        self.path = Path(path)
        self.max_pixels = max_pixels
        self.problem: str | None = None
        options = {"format_whitelist": CONTAINER_FORMATS, "protocol_whitelist": "file"}
        try:
            self._container = av.open(str(path), container_options=options)
        except (av.FFmpegError, OSError, ValueError) as error:
            is_empty = self.path.is_file() and self.path.stat().st_size == 0
            reason = "it is empty" if is_empty else _reason(error)
            raise InputError(f"{path}: not a readable video ({reason}); replace the file or leave it out.") from error
        try:
            self._stream = self._open_video_stream()
        except BaseException:
            self._container.close()
            raise
        self.rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.time_base = self._stream.time_base or Fraction(1, 90000)
        self.num_frames = self._stream.frames or None
        self._min_last_time = min_last_frame_time(self._container, self._stream)

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        count, size, last_time = 0, None, 0.0
        for frame in self._decoded():
            if size not in (None, (frame.width, frame.height)):
                self.problem = f"its frame size changes after {count} frames"
                return
            size = frame.width, frame.height
            self._check_size(*size)
            try:
                image = apply_display_matrix(frame.to_ndarray(format="rgb24"), frame)
            except (av.FFmpegError, ValueError) as error:
                self.problem = f"pixels of format {frame.format.name} cannot be converted ({_reason(error)})"
                break
            time = frame.time if frame.time is not None else count / float(self.rate)
            last_time = max(last_time, time)
            yield VideoFrame(image, frame.pts, time)
            count += 1
        if count == 0:
            reason = self.problem or "it has none"
            raise InputError(f"{self.path}: no frame of this video can be read ({reason}): leave the file out.")
        # The decoder reports no error at the end of a truncated file.
        if self.problem is None and self.num_frames and self.num_frames > count and last_time < self._min_last_time:
            self.problem = f"it ends after {count} of {self.num_frames} frames"

    def _open_video_stream(self) -> av.VideoStream:
        # An attached picture is the cover image of an audio file.
        streams = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            types = sorted({stream.type for stream in self._container.streams})
            contents = ", ".join(types) or "nothing readable"
            raise InputError(f"{self.path}: the file has no video stream, only {contents}; leave it out.")
        stream = streams[0]
        if stream.codec_context is None:
            raise InputError(f"{self.path}: its video format cannot be decoded here: convert it to H.264 first.")
        self._check_size(stream.codec_context.width, stream.codec_context.height)
        stream.thread_type = "AUTO"
        return stream

    def _decoded(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        num_damaged, num_consecutive = 0, 0
        while num_consecutive < MAX_CONSECUTIVE_DAMAGED:
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
                num_damaged += 1
                num_consecutive += 1
                self.problem = f"{num_damaged} damaged frames were left out ({_reason(error)})"
                continue
            # A packet without a frame is normal: with B-frames the decoder delays its output.
            if frames:
                num_consecutive = 0
            yield from frames

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise InputError(
                f"{self.path}: its frames have {width}x{height} pixels, more than the limit of {self.max_pixels:,}: "
                "scale the video down first."
            )


class VideoWriter:
    """Write an H.264 video frame by frame; the file's suffix selects the container format. Audio is not copied.

    Args:
        path: File to write.
        width, height: Pixels of the frames. An odd size is padded by one column or row, because the pixel format
            (4:2:0) stores colours for blocks of 2 x 2 pixels.
        rate: Frames per second, for players.
        time_base: Seconds per unit of the `pts` given to `write`. Intervals between frames are kept.
    """

    def __init__(self, path: str | Path, width: int, height: int, rate: Fraction, time_base: Fraction):
        self._padding = ((0, height % 2), (0, width % 2), (0, 0))
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = time_base
        # Players guess the colour space of untagged files in different ways, which would change the colours.
        self._stream.codec_context.colorspace = Colorspace.ITU709
        self._stream.codec_context.color_range = ColorRange.MPEG
        self._frame_duration = max(1, round(1 / (rate * time_base)))
        self._first_pts: int | None = None
        self._last_pts = -self._frame_duration

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def write(self, image: np.ndarray, pts: int | None) -> None:
        """Append a frame.

        Args:
            image: [H, W, 3] uint8 RGB.
            pts: Presentation timestamp. If it is None or not after that of the previous frame, the frame is placed one
                frame duration after the previous one.
        """
        frame = av.VideoFrame.from_ndarray(np.pad(image, self._padding, mode="edge"), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        frame.pts = self._next_pts(pts)
        frame.time_base = self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))

    def _next_pts(self, pts: int | None) -> int:
        """Return `pts` counted from the first frame, or one frame duration after the last frame if it does not grow."""
        if self._first_pts is None:
            self._first_pts = pts
        next_pts = self._last_pts + self._frame_duration
        if pts is not None and self._first_pts is not None and pts - self._first_pts > self._last_pts:
            next_pts = pts - self._first_pts
        self._last_pts = next_pts
        return next_pts


def min_last_frame_time(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Return a lower bound, in seconds, of the time of the last frame of a complete file.

    A file whose last frame is earlier has been truncated. The number of frames in the header cannot show this: an edit
    list hides frames of a complete file, and the header of an AVI file also counts empty packets (dropped frames).
    The bound is 0 if the metadata is insufficient.
    """
    rate, time_base = stream.average_rate or stream.guessed_rate, stream.time_base
    if not rate or not time_base:
        return 0.0
    # FFmpeg derives the duration of an AVI file from its size, so that it shrinks when the file is truncated. The time
    # base of an AVI stream is one frame, so the frame count of the header is its duration.
    is_avi = container.format.name == "avi"
    duration = stream.frames if is_avi else stream.duration or 0
    end = ((stream.start_time or 0) + duration) * time_base
    # The last frame begins one frame before the end; another half frame allows for rounding.
    return float(end - Fraction(3, 2) / rate)


def apply_display_matrix(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Rotate and flip the `image` [H, W, 3] of `frame` as the file's display matrix says.

    Only multiples of 90 degrees are supported; cameras write no others.
    """
    side_data = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]  # PyAV accepts the type, its stubs only the name
    if side_data is None:
        return image
    # Rows of the matrix are (a, b, u), (c, d, v), (x, y, w): a stored pixel (p, q) is shown at (a p + c q, b p + d q).
    a, b, _, c, d = np.frombuffer(side_data, dtype=np.int32)[:5].astype(np.int64)
    is_transposed = abs(a) + abs(d) < abs(b) + abs(c)
    if is_transposed:
        image = image.transpose(1, 0, 2)
        a, d = c, b
    # What remains is diagonal; a negative entry flips its axis.
    if a < 0:
        image = image[:, ::-1]
    if d < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
