"""Packets by their number in the file."""

from collections.abc import Iterator
from itertools import chain

import av

from .packet_index import PacketIndex
from .video_container import VideoContainer

# Reading past fewer packets than this costs less than a seek.
_SEEK_FROM = 50


class OtherPacketError(Exception):
    """A packet is not the one that the index has at its place."""


class PacketReader:
    """Goes to key frames by seeking, but trusts only the times of the packets that then come."""

    def __init__(self, container: VideoContainer, index: PacketIndex) -> None:
        self._container = container
        self._index = index
        self._packets: Iterator[av.Packet] = iter(())
        self._next = -_SEEK_FROM  # so far behind that the first read seeks

    def read(self, first: int, last: int) -> Iterator[av.Packet]:
        """The packets `first` to `last`, of which the first is a key frame or the first of the file.

        Raises:
            OtherPacketError: the file gives others than when it was indexed.
        """
        if not 0 <= first - self._next < _SEEK_FROM:
            self._seek(first)
        while self._next < first:
            self._advance()
        while self._next <= last:
            yield self._advance()

    def _seek(self, first: int) -> None:
        if self._container.seek(int(self._index.seek_times[first])):
            packets = self._container.packets()
            packet = next(packets, None)
            if packet is not None:
                arrived = self._index.number_of(packet)
                if arrived is not None and arrived <= first:
                    self._packets, self._next = chain((packet,), packets), arrived
                    return
        self._container.reopen()
        self._packets, self._next = self._container.packets(), 0

    def _advance(self) -> av.Packet:
        packet = next(self._packets, None)
        if packet is None or packet.pts != self._index.times[self._next]:
            raise OtherPacketError
        self._next += 1
        return packet
