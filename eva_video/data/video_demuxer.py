"""Demux the packets of a video file, with limits on time, size and number."""

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import av
from av.stream import Discard, Disposition

from eva_backbone.errors import InputError
from eva_engine.data.image_checks import MAX_PIXELS
from eva_engine.prediction.video import CONTAINER_FORMATS, min_last_frame_time

# More than four hours at 60 frames per second. A small file can declare many packets, and indexing them takes memory.
MAX_PACKETS = 1_000_000


class VideoDemuxer:
    """Open a file and demux its first video stream.

    Args:
        path: A regular file.
        time_limit: Seconds that all work with this object may take together. The limit is checked between packets, and
            FFmpeg gets it as the timeout for reading data.
        max_pixels: Largest number of pixels of a frame.

    Attributes:
        stream: The video stream.
        damage: A short description if damaged parts of the file were found, else None.

    Raises:
        InputError: There is no such file, it has no video stream (only audio), or its frames are too large; `packets`
            raises it for too many packets or too much time.
    """

    def __init__(self, path: str, time_limit: float, max_pixels: int = MAX_PIXELS) -> None:
        self.path = str(path)
        self.time_limit = time_limit
        self.max_pixels = max_pixels
        self.damage: str | None = None
        self._deadline = time.monotonic() + time_limit
        _check_file(path)
        self._open()

    def __enter__(self) -> "VideoDemuxer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def reopen(self) -> None:
        """Start again at the first packet, with a new decoder."""
        self.close()
        self._open()

    @property
    def min_last_pts(self) -> float:
        """Lower bound of the PTS of the last frame of a complete file; see `min_last_frame_time`."""
        return min_last_frame_time(self._container, self.stream) / float(self.stream.time_base or 1)

    def mark_damaged(self) -> None:
        """Record that a part of the file could not be decoded as valid video."""
        self.damage = "parts of it are damaged"

    def packets(self) -> Iterator[av.Packet]:
        """Yield the following packets that are not empty; stop early at damage that FFmpeg cannot skip."""
        count = 0
        packets = self._container.demux(self.stream)
        while True:
            self.check_time()
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                # The timeout of FFmpeg also ends here, which must not look like the end of the video.
                self.check_time()
                return
            if packet is None:
                return
            count += 1
            if count > MAX_PACKETS:
                raise InputError(f"{self.path}: more than {MAX_PACKETS:,} frames; cut the video into parts.")
            if packet.is_corrupt:
                self.mark_damaged()
            if packet.size:
                yield packet

    def seek(self, timestamp: int) -> bool:
        """Seek to the keyframe at or before `timestamp` (time base of the stream); return False if that fails."""
        try:
            self._container.seek(timestamp, stream=self.stream, backward=True)
        except (av.FFmpegError, ValueError, OverflowError):
            return False
        return True

    def check_time(self) -> None:
        """Raise `InputError` if the time limit is exceeded."""
        if time.monotonic() > self._deadline:
            raise InputError(
                f"{self.path}: reading takes more than {self.time_limit:g} s; check the file, or raise time_limit."
            )

    def _open(self) -> None:
        remaining = max(self._deadline - time.monotonic(), 0.001)
        try:
            self._container = av.open(
                self.path,
                options={"max_pixels": str(self.max_pixels)},
                container_options={"format_whitelist": CONTAINER_FORMATS, "protocol_whitelist": "file"},
                timeout=(remaining, remaining),
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            self.check_time()
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.path}: not a readable video ({reason}); replace or remove the file.") from error
        try:
            self.stream = self._choose_stream()
        except BaseException:
            self._container.close()
            raise

    def _choose_stream(self) -> av.VideoStream:
        # An attached picture is the cover image of an audio file.
        streams = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            types = sorted({stream.type for stream in self._container.streams})
            contents = ", ".join(types) or "nothing readable"
            raise InputError(f"{self.path}: the file has no video stream, only {contents}; remove the file.")
        chosen = streams[0]
        decoder = chosen.codec_context
        if decoder is None:
            raise InputError(f"{self.path}: its video format cannot be decoded here; convert it to H.264.")
        if decoder.width * decoder.height > self.max_pixels:
            raise InputError(
                f"{self.path}: its frames have {decoder.width}x{decoder.height} pixels, more than the limit of "
                f"{self.max_pixels:,}; scale the video down."
            )
        # One thread, because the workers of a data loader share the cores already.
        decoder.thread_type = "NONE"
        decoder.options = {"max_pixels": str(self.max_pixels)}
        # Packets of audio and other streams need not be demuxed.
        for stream in self._container.streams:
            if stream.index != chosen.index:
                stream.discard = Discard.all
        return chosen


def _check_file(path: str) -> None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(f"{path}: no such video file; check the data root.") from error
    # Opening a pipe could block, and a device may never end.
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: not a regular file; give a video file.")
    if status.st_size == 0:
        raise InputError(f"{path}: not a readable video (the file is empty); replace the file.")
