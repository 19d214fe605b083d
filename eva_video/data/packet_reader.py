"""Read ranges of packets by their position in the file."""

from collections.abc import Iterator
from itertools import chain

import av

from .packet_index import PacketIndex
from .video_demuxer import VideoDemuxer

# Skipping fewer packets than this is faster than seeking.
_MIN_PACKETS_TO_SEEK = 50


class PacketMismatchError(Exception):
    """The file gave another packet than the index has at that position."""


class PacketReader:
    """Seek to keyframes and read on from there.

    Seeking is not exact in all containers. So the position after a seek is taken from the timestamp of the packet that
    is read next, and the file is read from its beginning if that packet is unknown or too late.
    """

    def __init__(self, demuxer: VideoDemuxer, index: PacketIndex) -> None:
        self._demuxer = demuxer
        self._index = index
        self._packets: Iterator[av.Packet] = iter(())
        self._position = -_MIN_PACKETS_TO_SEEK  # makes the first read seek

    def read(self, first: int, last: int) -> Iterator[av.Packet]:
        """Yield the packets from position `first` to `last`; `first` is a keyframe or the first packet of the file.

        Raises:
            PacketMismatchError: The file gives other packets than when it was indexed.
        """
        num_skipped = first - self._position
        if not 0 <= num_skipped < _MIN_PACKETS_TO_SEEK:
            self._seek(first)
        while self._position < first:
            self._advance()
        while self._position <= last:
            yield self._advance()

    def _seek(self, first: int) -> None:
        if self._demuxer.seek(int(self._index.seek_times[first])):
            packets = self._demuxer.packets()
            packet = next(packets, None)
            if packet is not None:
                position = self._index.position_of(packet)
                if position is not None and position <= first:
                    self._packets, self._position = chain((packet,), packets), position
                    return
        self._demuxer.reopen()
        self._packets, self._position = self._demuxer.packets(), 0

    def _advance(self) -> av.Packet:
        packet = next(self._packets, None)
        if packet is None or packet.pts != self._index.pts[self._position]:
            raise PacketMismatchError
        self._position += 1
        return packet
