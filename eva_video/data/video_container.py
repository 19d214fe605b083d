"""A video file, opened for reading packets within limits of time and size."""

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import av
from av.stream import Discard, Disposition

from eva_backbone.errors import InputError
from eva_engine.prediction.images import MAX_PIXELS
from eva_engine.prediction.video import CONTAINERS, end_of_whole

# Above four hours of 60 frames a second; packets cost a file little, and an index of them memory.
MAX_PACKETS = 1_000_000


class VideoContainer:
    """The first video stream of a file.

    Args:
        path: a regular file.
        time_limit: seconds that everything done with this object may take together. It is looked at between packets,
            and FFmpeg is told of it for the time that it waits for data.
        max_pixels: of a frame.

    Attributes:
        damage: a few words once parts of the file were found to be damaged, or None.

    Raises:
        InputError: also by `packets`: no video in it, sound only, frames that are too large, too many packets, or too
            much time.
    """

    def __init__(self, path: str, time_limit: float, max_pixels: int = MAX_PIXELS) -> None:
        self.path = str(path)
        self.time_limit = time_limit
        self.max_pixels = max_pixels
        self.damage: str | None = None
        self._deadline = time.monotonic() + time_limit
        try:
            mode = Path(path).stat()
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no such video file; check the data root.") from error
        # A pipe or a device would block or never end.
        if not stat.S_ISREG(mode.st_mode):
            raise InputError(f"{path}: not a regular file; give a video file.")
        if mode.st_size == 0:
            raise InputError(f"{path}: no readable video, it is empty; replace the file.")
        self._open()

    def __enter__(self) -> "VideoContainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the use of the file."""
        self._container.close()

    def reopen(self) -> None:
        """Begin again with the first packet and a new decoder."""
        self.close()
        self._open()

    @property
    def end(self) -> float:
        """As `end_of_whole` tells it, in the stream's time base."""
        return end_of_whole(self._container, self.stream) / float(self.stream.time_base or 1)

    def note_damage(self) -> None:
        """Something in the file was no valid video."""
        self.damage = "parts of it are damaged"

    def packets(self) -> Iterator[av.Packet]:
        """The packets that follow, without empty ones; reading ends early at damage that FFmpeg cannot pass."""
        number = 0
        packets = self._container.demux(self.stream)
        while True:
            self.check_time()
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self.check_time()
                return
            if packet is None:
                return
            number += 1
            if number > MAX_PACKETS:
                raise InputError(f"{self.path}: more than {MAX_PACKETS:,} frames; cut the video into parts.")
            if packet.is_corrupt:
                self.note_damage()
            if packet.size:
                yield packet

    def seek(self, timestamp: int) -> bool:
        """Go to the key frame at or before `timestamp` (stream's time base); False if the file cannot."""
        try:
            self._container.seek(timestamp, stream=self.stream, backward=True)
        except (av.FFmpegError, ValueError, OverflowError):
            return False
        return True

    def check_time(self) -> None:
        """Raises InputError once `time_limit` is over."""
        if time.monotonic() > self._deadline:
            raise InputError(
                f"{self.path}: reading takes more than {self.time_limit:g} s; check the file, or raise time_limit."
            )

    def _open(self) -> None:
        rest = max(self._deadline - time.monotonic(), 0.001)
        try:
            self._container = av.open(
                self.path,
                options={"max_pixels": str(self.max_pixels)},
                container_options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
                timeout=(rest, rest),
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            self.check_time()
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.path}: no readable video ({reason}); replace or remove the file.") from error
        try:
            self.stream = self._choose_stream()
        except BaseException:
            self._container.close()
            raise

    def _choose_stream(self) -> av.VideoStream:
        streams = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            contents = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing readable"
            raise InputError(f"{self.path}: has no video in it, only {contents}; remove the file.")
        chosen = streams[0]
        decoder = chosen.codec_context
        if decoder is None:
            raise InputError(f"{self.path}: its video format cannot be decoded here; convert it to H.264.")
        if decoder.width * decoder.height > self.max_pixels:
            size = f"{decoder.width}x{decoder.height}"
            raise InputError(
                f"{self.path}: {size} pixels a frame, at most {self.max_pixels:,} are read; make it smaller."
            )
        # The workers of a loader share the cores: one thread each.
        decoder.thread_type = "NONE"
        decoder.options = {"max_pixels": str(self.max_pixels)}
        for stream in self._container.streams:
            if stream.index != chosen.index:
                stream.discard = Discard.all
        return chosen
