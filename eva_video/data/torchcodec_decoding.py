"""Frames with torchcodec, where it is installed and finds FFmpeg's libraries."""

from typing import Any

from eva_backbone.errors import InputError
from eva_engine.prediction.images import MAX_PIXELS

from .chosen_frames import ChooseFrames, ChosenFrames, PrepareFrame
from .decoding import TIME_LIMIT, Clip, read_clip
from .packet_index import index_packets
from .video_container import VideoContainer


def load_torchcodec() -> type[Any] | None:
    """torchcodec's decoder class; None where it cannot be used."""
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError):  # it fails in all these ways without the libraries
        return None
    return VideoDecoder


def read_clip_torchcodec(
    path: str,
    choose: ChooseFrames,
    *,
    prepare: PrepareFrame | None = None,
    time_limit: float = TIME_LIMIT,
    max_pixels: int = MAX_PIXELS,
) -> Clip:
    """As `read_clip`, with torchcodec's exact seek mode; only the check of the file is under the time limit.

    What torchcodec cannot read exactly, as its order is that of the packets' times, `read_clip` reads.

    Raises:
        InputError: torchcodec cannot be loaded, or what `read_clip` raises.
    """
    decoder_class = load_torchcodec()
    if decoder_class is None:
        raise InputError(
            'torchcodec cannot be loaded here; install it and FFmpeg 4 to 8, or choose the decoder "pyav".'
        )
    # PyAV's check of format, streams and sizes stands before a library that would follow playlists.
    with VideoContainer(path, time_limit, max_pixels) as container:
        is_ordered = index_packets(container).tells_order
    if not is_ordered:
        return read_clip(path, choose, prepare=prepare, time_limit=time_limit, max_pixels=max_pixels)
    try:
        decoder = decoder_class(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
        chosen = ChosenFrames(choose(len(decoder)), prepare)
        for number in sorted(chosen.missing):
            chosen.put(number, decoder.get_frame_at(number).data.numpy())
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
        return read_clip(path, choose, prepare=prepare, time_limit=time_limit, max_pixels=max_pixels)
    return Clip(chosen.frames, len(decoder), container.damage)
