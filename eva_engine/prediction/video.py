"""Read and write video files frame by frame, with PyAV."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace

from eva_backbone.errors import InputError
from eva_engine.data.video_file import (
    MAX_THREADS,
    MAX_VIDEO_PIXELS,
    check_frame_size,
    min_last_frame_time,
    open_video,
    packet_problem,
)

# Decoding stops after this many packets in a row without a frame.
MAX_CONSECUTIVE_DAMAGED = 100
# It also stops after this many seconds of processor time, between two frames, without one.
_MAX_SECONDS_WITHOUT_FRAME = 10.0
_MAX_SECONDS_BETWEEN_FRAMES = 24 * 3600  # in a written video


@dataclass(frozen=True)
class VideoFrame:
    """A frame as it is displayed.

    Attributes:
        image: [H, W, 3] uint8 RGB, upright.
        pts: Presentation timestamp in the time base of the reader, or None if the file has none.
        time: Time of presentation in seconds.
        index: Number of frames of the video before this one.
    """

    image: np.ndarray
    pts: int | None
    time: float
    index: int = 0


class VideoReader:
    """Iterate over the frames of a video file in display order, rotated as the file's metadata says.

    Cameras and streams have the same interface, see `LiveReader`; `opened_frames` chooses.

    Args:
        path: The video file.
        max_pixels: Largest number of pixels of a frame.
        frame_stride: Only the first of every `frame_stride` frames is returned.

    Attributes:
        name: File or address, for messages and results.
        rate: Frames per second, from the file's metadata; 25 if it has none.
        time_base: Seconds per unit of `VideoFrame.pts`.
        num_frames: Number of frames in the file's metadata, or None. It can be wrong.
        problem: After iterating, what was wrong with the file although frames were decoded; None if nothing was.
        num_dropped: Number of frames that were read and left out, because those who iterate were too slow.
        is_live: Whether it is a camera or stream, which may have no end.
        waits: Whether frames that are not taken yet are kept; a camera continues, and they are lost.

    Raises:
        InputError: The file cannot be read as a video, has no video stream (only audio), or its frames have more than
            `max_pixels` pixels; while iterating, also if no frame can be decoded.
    """

    is_live = False
    waits = True

    def __init__(self, path: str | Path, max_pixels: int = MAX_VIDEO_PIXELS, frame_stride: int = 1):
        self.name = str(path)
        self.max_pixels = max_pixels
        self.frame_stride = frame_stride
        self.problem: str | None = None
        self.num_dropped = 0
        self._container, self._stream = self._open()
        self.rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.time_base = self._stream.time_base or Fraction(1, 90000)
        self.num_frames = self._stream.frames or None
        self._min_last_time = min_last_frame_time(self._container, self._stream)

    def _open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        return open_video(self.name, self.max_pixels)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def stop(self) -> None:
        """Make a thread that iterates end soon, if it might wait for a long time."""

    def __iter__(self) -> Iterator[VideoFrame]:
        count, size, last_time = 0, None, 0.0
        for frame in self._decoded():
            if size not in (None, (frame.width, frame.height)):
                self.problem = f"its frame size changes after {count} frames"
                return
            size = frame.width, frame.height
            check_frame_size(self.name, *size, self.max_pixels)
            seconds = frame.time if frame.time is not None else count / float(self.rate)
            last_time = max(last_time, seconds)
            index, count = count, count + 1
            if index % self.frame_stride:
                continue
            try:
                image = apply_display_matrix(frame.to_ndarray(format="rgb24"), frame)
            except (av.FFmpegError, ValueError) as error:
                self.problem = f"pixels of format {frame.format.name} cannot be converted ({_reason(error)})"
                count = index
                break
            yield VideoFrame(image, frame.pts, seconds, index)
        if count == 0:
            reason = self.problem or "it has none"
            raise InputError(f"{self.name}: no frame of this video can be read ({reason}): leave the file out.")
        # The decoder reports no error at the end of a truncated file.
        if self.problem is None and self.num_frames and self.num_frames > count and last_time < self._min_last_time:
            self.problem = f"it ends after {count} of {self.num_frames} frames"

    def _decoded(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        num_damaged, num_consecutive, start = 0, 0, _now()
        while num_consecutive < MAX_CONSECUTIVE_DAMAGED:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self.problem = f"reading stopped: {_reason(error)}"
                return
            if packet is None:
                return
            reason = packet_problem(packet, self._stream.codec_context.name)
            if self.is_live:
                start = _now()  # the wait for a packet may take any time
            processor, wall = np.subtract(_now(), start)
            if processor > _MAX_SECONDS_WITHOUT_FRAME and wall > _MAX_SECONDS_WITHOUT_FRAME / MAX_THREADS:
                reason = f"no frame in {_MAX_SECONDS_WITHOUT_FRAME:g} s of processor time"
            if reason:
                self.problem = f"reading stopped: {reason}"
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
            if frames:
                start = _now()


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
        # A damaged timestamp can be years later; MP4 stores intervals as 32-bit numbers.
        self._max_interval = max(1, min(2**31 - 1, int(_MAX_SECONDS_BETWEEN_FRAMES / time_base)))
        self._frame_duration = min(max(1, round(1 / (rate * time_base))), self._max_interval)
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
            pts: Presentation timestamp. If it is None, or not within a day after that of the previous frame, it is
                set to one frame duration after that.
        """
        frame = av.VideoFrame.from_ndarray(np.pad(image, self._padding, mode="edge"), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        frame.pts = self._next_pts(pts)
        frame.time_base = self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))

    def _next_pts(self, pts: int | None) -> int:
        """Return `pts` counted from the first frame, or one frame duration after the last frame if it is unusable."""
        if self._first_pts is None:
            self._first_pts = pts
        next_pts = self._last_pts + self._frame_duration
        if pts is not None and self._first_pts is not None:
            interval = pts - self._first_pts - self._last_pts
            if 0 < interval <= self._max_interval:
                next_pts = pts - self._first_pts
        self._last_pts = next_pts
        return next_pts


def apply_display_matrix(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Rotate and flip the `image` [H, W, 3] of `frame` as the file's display matrix says.

    Only multiples of 90 degrees are supported; cameras write no others.
    """
    # frame.side_data would store an object in the frame that refers back to it, and every frame with its pixels and its
    # converter's threads would wait for the garbage collector.
    side_data = SideDataContainer(frame).get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-arg]
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


def _now() -> tuple[float, float]:
    """Return the time of all processors that this process has used, and the time of day, in seconds.

    The model may use many processors while a thread decodes, hence the first alone does not show slow decoding.
    """
    return time.process_time(), time.monotonic()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
