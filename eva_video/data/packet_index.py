"""Where each frame of a video lies in its file, found from the packets without decoding them."""

from collections.abc import Iterable

import av
import numpy as np

from .video_container import VideoContainer

_VP8_SHOWN = 0x10  # bit of the first byte


class PacketIndex:
    """The packets of a video in the order of the file.

    Frames are numbered from 0 in the order of display. Packets that the file's edit list leaves out are decoded for the
    sake of later ones, but are no frames.

    Attributes:
        times: presentation times of the packets, in the stream's time base.
        seek_times: what to seek to for each packet.
        is_key: whether decoding can begin there.
        tells_order: whether each packet has a time of its own, and it is that of display.
    """

    def __init__(
        self, times: np.ndarray, seek_times: np.ndarray, is_key: np.ndarray, is_shown: np.ndarray, tells_order: bool
    ) -> None:
        self.times = times
        self.seek_times = seek_times
        self.is_key = is_key
        shown = np.flatnonzero(is_shown)
        self._packets = shown[np.argsort(times[shown], kind="stable")]
        self._numbers = {time: number for number, time in enumerate(times.tolist())}
        self.tells_order = tells_order and len(self._numbers) == len(times)

    @property
    def num_frames(self) -> int:
        """Packets that are shown; the frames, unless packets hold two or none."""
        return len(self._packets)

    def packet_of(self, frame: int) -> int:
        """Number of the packet that holds a frame."""
        return int(self._packets[frame])

    def number_of(self, packet: av.Packet) -> int | None:
        """Number of a packet; None if there is none of its time."""
        return self._numbers.get(packet.pts)

    def runs(self, packets: Iterable[int]) -> list[tuple[int, int]]:
        """Parts (first, last) of the file that have to be decoded for these packets, in the order of the file.

        Each begins at a key frame that is shown no later than what is wanted: pictures after it in the file but before
        it on the screen refer to earlier ones.
        """
        keys = np.flatnonzero(self.is_key)
        runs: list[tuple[int, int]] = []
        for packet in sorted(packets):
            usable = keys[(keys <= packet) & (self.times[keys] <= self.times[packet])]
            start = int(usable[-1]) if len(usable) else 0
            while runs and start <= runs[-1][1]:
                start = min(start, runs.pop()[0])
            runs.append((start, packet))
        return runs


def index_packets(container: VideoContainer) -> PacketIndex:
    """Read through the file.

    Its packets do not tell the order of display where they have no times, as in raw streams; where times begin anew, as
    in joined recordings; or where they are those of decoding, as in AVI and ASF files.

    Raises:
        InputError: limits of time or number.
    """
    columns: list[tuple[int, int, bool, bool]] = []
    is_vp8 = container.stream.codec_context.name in ("vp8", "libvpx")
    has_times, decoding_time = True, None
    for packet in container.packets():
        if packet.dts is not None:
            has_times = has_times and (decoding_time is None or packet.dts >= decoding_time)
            decoding_time = packet.dts
        has_times = has_times and packet.pts is not None
        # VP8 keeps pictures that are only referred to in packets of their own.
        is_hidden = is_vp8 and not bytes(packet)[0] & _VP8_SHOWN
        is_shown = not (packet.is_discard or packet.is_corrupt or is_hidden)
        seek_time = packet.pts if packet.dts is None else packet.dts
        columns.append((packet.pts or 0, seek_time or 0, packet.is_keyframe, is_shown))
    times, seek_times, keys, shown = np.array(columns, np.int64).reshape(-1, 4).T
    of_decoding = bool(container.stream.codec_context.has_b_frames and (np.diff(times) > 0).all())
    return PacketIndex(times, seek_times, keys.astype(bool), shown.astype(bool), has_times and not of_decoding)
