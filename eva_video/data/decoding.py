"""Decode exactly the sampled frames of a video file, with PyAV.

Seeking alone does not give exact frames: containers seek to keyframes only, their timestamps can be wrong, and decoders
delay and reorder their output. So the file is indexed first, and every decoded frame is identified by its timestamp.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from eva_backbone.errors import InputError
from eva_engine.data.video_file import MAX_VIDEO_PIXELS
from eva_engine.prediction.video import MAX_CONSECUTIVE_DAMAGED, apply_display_matrix

from .frame_buffer import FrameBuffer, FrameSampler, PrepareFrame
from .packet_index import PacketIndex, index_packets
from .packet_reader import PacketMismatchError, PacketReader
from .video_demuxer import VideoDemuxer

TIME_LIMIT = 60.0  # seconds


@dataclass(frozen=True)
class DecodedClip:
    """Frames of a video.

    Attributes:
        frames: [T, H, W, 3] uint8 RGB, upright, in sampling order.
        num_frames: Number of frames of the entire video.
        problem: What was wrong with the file although the frames could be read, or None.
    """

    frames: np.ndarray
    num_frames: int
    problem: str | None = None


def read_clip(
    path: str,
    sampler: FrameSampler,
    *,
    prepare: PrepareFrame | None = None,
    time_limit: float = TIME_LIMIT,
    max_pixels: int = MAX_VIDEO_PIXELS,
) -> DecodedClip:
    """Read the sampled frames of a video file.

    A first pass indexes the packets without decoding them; then only the ranges from a keyframe to a sampled frame are
    decoded. All frames are decoded and counted instead where the timestamps do not give the display order, as in many
    AVI files, or where the decoder does not output the frames that the index promises. If there turn out to be more or
    fewer frames than packets, frames are sampled again for the true number and decoded in another pass.

    Args:
        path: The video file.
        sampler: Function from the number of frames of the video to the indices to read, which are counted from 0 in
            display order and may be in any order and repeated. It can be called twice.
        prepare: Function applied to each frame [H, W, 3] as soon as it is decoded, so that only its results are kept.
            All results must have the same shape.
        time_limit: Limit in seconds for indexing and decoding together.
        max_pixels: Largest number of pixels of a frame as stored.

    Raises:
        InputError: There is no such file, it has no video stream, no frame can be decoded, the frame size changes, or a
            limit is exceeded.
    """
    with VideoDemuxer(path, time_limit, max_pixels) as demuxer:
        # Read now: reopening the file replaces the stream.
        num_declared, min_last_pts = demuxer.stream.frames, demuxer.min_last_pts
        index = index_packets(demuxer)
        if index.has_display_order and index.num_frames > 0:
            collector = _FrameCollector(demuxer, sampler(index.num_frames), prepare)
            _decode_ranges(demuxer, index, collector)
            if collector.is_complete:
                problem = demuxer.damage
                # Fewer packets than declared do not make a truncated file if they reach its end: an edit list or
                # dropped frames leave such files too.
                if num_declared > len(index.pts) and index.pts.max() < min_last_pts:
                    problem = f"it ends after {index.num_frames} of {num_declared} frames"
                return DecodedClip(collector.frames, index.num_frames, problem)
        collector, num_frames = _decode_and_count(demuxer, index.num_frames, sampler, prepare)
        problem = demuxer.damage
        if index.has_display_order and num_frames < index.num_frames:
            problem = f"{num_frames} of {index.num_frames} frames can be decoded"
        return DecodedClip(collector.frames, num_frames, problem)


def _decode_and_count(
    demuxer: VideoDemuxer, expected: int, sampler: FrameSampler, prepare: PrepareFrame | None
) -> tuple["_FrameCollector", int]:
    """Decode the entire video; return the sampled frames and the number of all frames.

    Sampled frames are collected in the same pass, for the `expected` number of frames; another pass is needed only if
    there were more or fewer.
    """
    collector, num_frames = _FrameCollector(demuxer, sampler(max(expected, 1)), prepare), 0
    for frame in _decode_all(demuxer):
        collector.offer(num_frames, frame)
        num_frames += 1
    if num_frames == 0:
        raise InputError(f"{demuxer.path}: no frame of this video can be decoded; replace or remove the file.")
    if num_frames == expected:
        return collector, num_frames
    collector = _FrameCollector(demuxer, sampler(num_frames), prepare)
    for index, frame in enumerate(_decode_all(demuxer)):
        collector.offer(index, frame)
        if collector.is_complete:
            break
    return collector, num_frames


class _FrameCollector:
    """Convert the sampled frames to RGB as they are decoded, and ignore all others."""

    def __init__(self, demuxer: VideoDemuxer, indices: np.ndarray, prepare: PrepareFrame | None) -> None:
        self._demuxer = demuxer
        self._buffer = FrameBuffer(indices, prepare)
        self._to_rgb = VideoReformatter()
        self._size: tuple[int, int] | None = None

    @property
    def is_complete(self) -> bool:
        return not self._buffer.missing

    @property
    def missing(self) -> list[int]:
        return self._buffer.missing

    @property
    def frames(self) -> np.ndarray:
        return self._buffer.frames

    def offer(self, index: int, frame: av.VideoFrame) -> None:
        if index not in self._buffer.missing:
            return
        path, size = self._demuxer.path, (frame.width, frame.height)
        if self._size not in (None, size):
            raise InputError(f"{path}: its frame size changes; encode the video again, or remove the file.")
        self._size = size
        try:
            # One thread, because all workers of a data loader do this at the same time.
            rgb = self._to_rgb.reformat(frame, format="rgb24", threads=1).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise InputError(
                f"{path}: pixels of format {frame.format.name} cannot be converted; convert it to H.264."
            ) from error
        if frame.is_corrupt:
            self._demuxer.mark_damaged()
        self._buffer.put(index, apply_display_matrix(rgb, frame))


def _decode_ranges(demuxer: VideoDemuxer, index: PacketIndex, collector: _FrameCollector) -> None:
    """Decode the packets that the missing frames need; some stay missing if the file is not as indexed."""
    frame_of_packet = {index.packet_of(frame): frame for frame in collector.missing}
    # Decoded frames carry the PTS of their packet, by which they are identified.
    frame_of_pts = {int(index.pts[packet]): frame for packet, frame in frame_of_packet.items()}
    reader = PacketReader(demuxer, index)
    try:
        for first, last in index.decode_ranges(frame_of_packet):
            # Some files mark packets as keyframes that are not. What is decoded after such a packet is incomplete,
            # until the decoder itself reports that the first packet gave a keyframe.
            is_intact = first == 0
            for frame in _decode_range(demuxer, reader, first, last, frame_of_packet):
                if frame.key_frame and frame.pts == index.pts[first]:
                    is_intact = True
                if is_intact and frame.pts in frame_of_pts:
                    collector.offer(frame_of_pts[frame.pts], frame)
    except PacketMismatchError:
        return


def _decode_range(
    demuxer: VideoDemuxer, reader: PacketReader, first: int, last: int, wanted: Container[int]
) -> Iterator[av.VideoFrame]:
    for position, packet in enumerate(reader.read(first, last), start=first):
        if position == first:
            # Taken after the packet was read, because the reader may have reopened the file, with a new decoder.
            decoder = demuxer.stream.codec_context
            decoder.flush_buffers()
        # Frames that no other refers to need not be decoded unless they are wanted. Only H.264 marks them reliably:
        # files of other codecs mark frames as non-reference that others do refer to.
        if decoder.name == "h264":
            is_needed = position == first or position in wanted
            decoder.skip_frame = "DEFAULT" if is_needed else "NONREF"
        yield from _decode(demuxer, packet)
    # With B-frames the decoder delays its output; this flushes the frames it still holds.
    yield from _decode(demuxer, None)


def _decode(demuxer: VideoDemuxer, packet: av.Packet | None) -> list[av.VideoFrame]:
    try:
        return demuxer.stream.codec_context.decode(packet)
    except (av.FFmpegError, EOFError):
        demuxer.mark_damaged()
        return []


def _decode_all(demuxer: VideoDemuxer) -> Iterator[av.VideoFrame]:
    """Decode the entire file from its beginning; give up after many packets in a row without a frame."""
    demuxer.reopen()
    num_consecutive = 0
    for packet in demuxer.packets():
        frames = _decode(demuxer, packet)
        if frames:
            num_consecutive = 0
        else:
            num_consecutive += 1
        if num_consecutive > MAX_CONSECUTIVE_DAMAGED:
            break
        yield from frames
    yield from _decode(demuxer, None)
