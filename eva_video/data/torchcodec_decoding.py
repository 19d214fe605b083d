"""Decode the sampled frames with torchcodec, where it is installed and finds FFmpeg's libraries."""

from typing import Any

from eva_backbone.errors import InputError
from eva_engine.data.video_file import MAX_VIDEO_PIXELS

from .decoding import TIME_LIMIT, DecodedClip, read_clip
from .frame_buffer import FrameBuffer, FrameSampler, PrepareFrame
from .packet_index import index_packets
from .video_demuxer import VideoDemuxer


def load_torchcodec() -> type[Any] | None:
    """Return torchcodec's decoder class, or None if torchcodec cannot be used."""
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError):  # the import raises any of these if FFmpeg's libraries are missing
        return None
    return VideoDecoder


def read_clip_torchcodec(
    path: str,
    sampler: FrameSampler,
    *,
    prepare: PrepareFrame | None = None,
    time_limit: float = TIME_LIMIT,
    max_pixels: int = MAX_VIDEO_PIXELS,
) -> DecodedClip:
    """Read the sampled frames as `read_clip` does, with torchcodec in its exact seek mode.

    Only the check of the file is subject to the time limit. torchcodec orders frames by the timestamps of their
    packets; `read_clip` reads the files where these do not give the display order, and those that torchcodec rejects.

    Raises:
        InputError: Torchcodec cannot be loaded, or for the reasons of `read_clip`.
    """
    decoder_class = load_torchcodec()
    if decoder_class is None:
        raise InputError(
            'torchcodec cannot be loaded here; install it and FFmpeg 4 to 8, or choose the decoder "pyav".'
        )
    # The format, the streams and the frame size are checked first with PyAV: torchcodec would follow playlists.
    with VideoDemuxer(path, time_limit, max_pixels) as demuxer:
        has_display_order = index_packets(demuxer).has_display_order
    if not has_display_order:
        return read_clip(path, sampler, prepare=prepare, time_limit=time_limit, max_pixels=max_pixels)
    try:
        decoder = decoder_class(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
        buffer = FrameBuffer(sampler(len(decoder)), prepare)
        for index in sorted(buffer.missing):
            buffer.put(index, decoder.get_frame_at(index).data.numpy())
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
        return read_clip(path, sampler, prepare=prepare, time_limit=time_limit, max_pixels=max_pixels)
    return DecodedClip(buffer.frames, len(decoder), demuxer.damage)
