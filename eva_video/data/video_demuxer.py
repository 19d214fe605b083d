"""Demux the packets of a video file, with limits on time, size and number."""

import time
from collections.abc import Iterator

import av

from eva_backbone.errors import InputError
from eva_engine.data.video_file import MAX_VIDEO_PIXELS, min_last_frame_time, open_video, packet_problem

# More than four hours at 60 frames per second. A small file can declare many packets, and indexing them takes memory.
MAX_PACKETS = 1_000_000
# Processor time for decoding; ordinary videos need less than a quarter of it.
_SECONDS, _SECONDS_PER_BYTE = 8.0, 4e-6


class VideoDemuxer:
    """Open a file and demux its first video stream.

    Args:
        path: A regular file.
        time_limit: Seconds that all work with this object may take together. The limit is checked between packets, and
            FFmpeg gets it as the timeout for reading data. Processor time has a limit that grows with the file.
        max_pixels: Largest number of pixels of a frame.

    Attributes:
        stream: The video stream.
        damage: A short description if damaged parts of the file were found, else None.

    Raises:
        InputError: There is no such file, it has no video stream (only audio), or its frames are too large; `packets`
            raises it for too many packets or too much time.
    """

    def __init__(self, path: str, time_limit: float, max_pixels: int = MAX_VIDEO_PIXELS) -> None:
        self.path = str(path)
        self.time_limit = time_limit
        self.max_pixels = max_pixels
        self.damage: str | None = None
        self._deadline = time.monotonic() + time_limit
        self._start, self._processor_limit = time.thread_time(), _SECONDS
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
            problem = packet_problem(packet, self.stream.codec_context.name)
            if problem is not None:
                raise InputError(f"{self.path}: not a readable video ({problem}); replace or remove the file.")
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
        """Raise `InputError` if the time limit, or that of processor time, is exceeded."""
        if time.thread_time() - self._start > self._processor_limit:
            raise InputError(
                f"{self.path}: reading takes more than {self._processor_limit:.0f} s of processor time, too much for a "
                "file of this size; encode the video again with smaller frames or more keyframes."
            )
        if time.monotonic() > self._deadline:
            raise InputError(
                f"{self.path}: reading takes more than {self.time_limit:g} s; check the file, or raise time_limit."
            )

    def _open(self) -> None:
        remaining = max(self._deadline - time.monotonic(), 0.001)
        try:
            # One thread, because the workers of a data loader share the cores already.
            self._container, self.stream = open_video(self.path, self.max_pixels, timeout=remaining, num_threads=1)
        except InputError:
            self.check_time()  # the timeout looks like damage
            raise
        self._processor_limit = _SECONDS + _SECONDS_PER_BYTE * self._container.size
