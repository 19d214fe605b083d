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
    """

    def __init__(self, times: np.ndarray, seek_times: np.ndarray, is_key: np.ndarray, is_shown: np.ndarray) -> None:
        self.times = times
        self.seek_times = seek_times
        self.is_key = is_key
        shown = np.flatnonzero(is_shown)
        self._packets = shown[np.argsort(times[shown], kind="stable")]
        self._numbers = {time: number for number, time in enumerate(times.tolist())}

    @property
    def num_frames(self) -> int:
        """Frames that are shown."""
        return len(self._packets)

    @property
    def is_ambiguous(self) -> bool:
        """Whether packets share a time, so that it does not say which is which."""
        return len(self._numbers) < len(self.times)

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


def index_packets(container: VideoContainer) -> PacketIndex | None:
    """Read through the file. None where its packets do not tell the order of display: they have no times, as in raw
    streams; times that begin anew, as in joined recordings; or those of decoding, as in AVI and ASF files.

    Raises:
        InputError: limits of time or number.
    """
    columns: list[tuple[int, int, bool, bool]] = []
    is_vp8 = container.stream.codec_context.name in ("vp8", "libvpx")
    decoding_time = None
    for packet in container.packets():
        if packet.dts is not None:
            if decoding_time is not None and packet.dts < decoding_time:
                return None
            decoding_time = packet.dts
        if packet.pts is None:
            return None
        # VP8 keeps pictures that are only referred to in packets of their own.
        is_hidden = is_vp8 and not bytes(packet)[0] & _VP8_SHOWN
        is_shown = not (packet.is_discard or packet.is_corrupt or is_hidden)
        seek_time = packet.pts if packet.dts is None else packet.dts
        columns.append((packet.pts, seek_time, packet.is_keyframe, is_shown))
    if not columns:
        return None
    index = PacketIndex(*(np.array(column) for column in zip(*columns, strict=True)))
    decoder_reorders = container.stream.codec_context.has_b_frames
    if index.is_ambiguous or (decoder_reorders and (np.diff(index.times) > 0).all()):
        return None
    return index
