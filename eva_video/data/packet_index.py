"""An index of the packets of a video: which packet holds which frame, found without decoding.

A packet has a decoding timestamp (DTS) and a presentation timestamp (PTS). Files store packets in decoding order. With
B-frames, which are predicted from a later frame as well, this differs from display order: that later frame is stored
first. Sorting the packets by PTS therefore gives the frames in display order.
"""

from collections.abc import Iterable

import av
import numpy as np

from .video_demuxer import VideoDemuxer

_VP8_SHOW_FRAME = 0x10  # bit of the first byte of a VP8 frame


class PacketIndex:
    """The packets of a video in file order, and the frames in display order.

    Frames are counted from 0 in display order. A packet that the file's edit list cuts off is not a frame; it is still
    indexed, because later packets may need it as a reference when they are decoded.

    Args:
        pts: Presentation timestamps of the packets, in the time base of the stream.
        seek_times: Timestamps to seek to for each packet: its DTS, or its PTS if it has none.
        is_keyframe: Whether decoding can start at the packet, according to the file.
        is_shown: Whether the packet is a frame that is displayed.
        pts_are_valid: Whether every packet has a timestamp of its presentation.

    Attributes:
        pts, seek_times, is_keyframe: As above.
        has_display_order: Whether the timestamps are valid and unique, so that they give the display order.
    """

    def __init__(
        self,
        pts: np.ndarray,
        seek_times: np.ndarray,
        is_keyframe: np.ndarray,
        is_shown: np.ndarray,
        pts_are_valid: bool,
    ) -> None:
        self.pts = pts
        self.seek_times = seek_times
        self.is_keyframe = is_keyframe
        shown = np.flatnonzero(is_shown)
        self._packet_of_frame = shown[np.argsort(pts[shown], kind="stable")]
        self._position_of_pts = {timestamp: position for position, timestamp in enumerate(pts.tolist())}
        self.has_display_order = pts_are_valid and len(self._position_of_pts) == len(pts)

    @property
    def num_frames(self) -> int:
        """Number of packets that are displayed. It is the number of frames unless packets hold two or none."""
        return len(self._packet_of_frame)

    def packet_of(self, frame: int) -> int:
        """Return the position in the file of the packet that holds the frame of index `frame`."""
        return int(self._packet_of_frame[frame])

    def position_of(self, packet: av.Packet) -> int | None:
        """Return the position of `packet` in the file, or None if no indexed packet has its PTS."""
        return self._position_of_pts.get(packet.pts)

    def decode_ranges(self, packets: Iterable[int]) -> list[tuple[int, int]]:
        """Return the ranges (first, last) of packets to decode in order to get `packets`, in file order.

        A range starts at a keyframe whose PTS is not after that of the wanted packet. The keyframe before it in the
        file is not always enough: with open groups of pictures, B-frames that are stored after a keyframe but
        displayed before it also refer to frames before the keyframe.
        """
        keyframes = np.flatnonzero(self.is_keyframe)
        ranges: list[tuple[int, int]] = []
        for packet in sorted(packets):
            is_usable = (keyframes <= packet) & (self.pts[keyframes] <= self.pts[packet])
            usable = keyframes[is_usable]
            start = int(usable[-1]) if len(usable) else 0
            # Merge overlapping ranges, so that no packet is decoded twice.
            while ranges and start <= ranges[-1][1]:
                previous_start, _ = ranges.pop()
                start = min(start, previous_start)
            ranges.append((start, packet))
        return ranges


def index_packets(demuxer: VideoDemuxer) -> PacketIndex:
    """Read the file once and index its packets.

    The timestamps do not give the display order where packets have none (raw streams), where they start again in the
    middle (concatenated recordings), or where the container stores only the decoding order (AVI and ASF files).

    Raises:
        InputError: The limit of time or of packets is exceeded.
    """
    pts: list[int] = []
    seek_times: list[int] = []
    is_keyframe: list[bool] = []
    is_shown: list[bool] = []
    codec = demuxer.stream.codec_context
    is_vp8 = codec.name in ("vp8", "libvpx")
    pts_are_valid = True
    last_dts: int | None = None
    for packet in demuxer.packets():
        if packet.pts is None:
            pts_are_valid = False
        if packet.dts is not None:
            # Packets are stored in decoding order, so a smaller DTS means that another recording starts.
            if last_dts is not None and packet.dts < last_dts:
                pts_are_valid = False
            last_dts = packet.dts
        pts.append(packet.pts or 0)
        seek_time = packet.pts if packet.dts is None else packet.dts
        seek_times.append(seek_time or 0)
        is_keyframe.append(packet.is_keyframe)
        # VP8 stores reference frames that are never displayed in packets of their own.
        is_hidden = is_vp8 and not bytes(packet)[0] & _VP8_SHOW_FRAME
        is_shown.append(not (packet.is_discard or packet.is_corrupt or is_hidden))
    # The decoder reorders frames, but the PTS only grow: the container has stored decoding times as PTS.
    if codec.has_b_frames and (np.diff(pts) > 0).all():
        pts_are_valid = False
    return PacketIndex(
        np.array(pts, np.int64),
        np.array(seek_times, np.int64),
        np.array(is_keyframe, bool),
        np.array(is_shown, bool),
        pts_are_valid,
    )
