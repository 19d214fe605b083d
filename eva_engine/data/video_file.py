"""Open video files from untrusted sources, with limits on what a small file can make FFmpeg allocate and compute."""

import os
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np
from av.stream import Discard, Disposition

from eva_backbone.errors import InputError

from .image_file import open_regular_file

# FFmpeg detects the format from the content of a file. Formats that refer to other files or to addresses (playlists)
# are excluded, because an untrusted file could read anything through them.
CONTAINER_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,m4v,h264,hevc"
# The largest frames of level 6.2 of H.264 and HEVC and of level 6.3 of AV1 have 35,651,584 pixels (8192 x 4352).
MAX_VIDEO_PIXELS = 36_000_000
# Decoders keep up to 16 earlier frames that later ones refer to. Three bytes per pixel are 10 bits in 4:2:0.
_MAX_REFERENCE_BYTES = 3 * MAX_VIDEO_PIXELS
# Each thread of a decoder holds frames of its own.
MAX_THREADS = 4
# FFmpeg allocates 4 KB for every start code of a packet, and while it opens a file, it reads packets itself.
_START_CODE = b"\0\0\1"
_MAX_START_CODES = 100_000
_HEAD_BYTES = 16_000_000
# A progressive JPEG has about ten scans, each of which is decoded for the entire frame.
_MARKERS = {
    "h264": (_START_CODE, _MAX_START_CODES),
    "hevc": (_START_CODE, _MAX_START_CODES),
    "mjpeg": (b"\xff\xda", 30),
}
# Tables of an MP4 file that can declare any number of samples in a few bytes, the edit list, which repeats all samples
# for each of its entries, and headers that are compressed.
_MP4_TABLES = re.compile(rb"stsz|stz2|trun|stts|ctts|elst|cmov")
_MIN_SAMPLES = 1_000_000  # about 50 MB; fewer are never too many
_MIN_EDITS = 16


def open_video(
    path: str | Path, max_pixels: int, *, timeout: float = 60.0, num_threads: int = MAX_THREADS
) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open a file and choose its first video stream.

    Args:
        path: A regular file.
        max_pixels: Largest number of pixels of a frame.
        timeout: Seconds after which FFmpeg gives up opening the file, or reading a packet.
        num_threads: Largest number of threads of the decoder.

    Returns:
        The container, which the caller closes, and the stream. The packets of all other streams are discarded.

    Raises:
        InputError: There is no such file, it cannot be read as a video, has no video stream (only audio), or declares
            too much.
    """
    _check_content(path)
    try:
        container = av.open(
            f"file:{path}",  # a name such as "10:30.mp4" begins with something like a protocol
            options=decoder_options(max_pixels),
            container_options={"format_whitelist": CONTAINER_FORMATS, "protocol_whitelist": "file"},
            timeout=(timeout, timeout),
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: not a readable video ({reason}); replace or remove the file.") from error
    try:
        return container, choose_stream(path, container, max_pixels, num_threads)
    except BaseException:
        container.close()
        raise


def decoder_options(max_pixels: int) -> dict[str, str]:
    """Return the options of FFmpeg's decoders that bound the frames; `max_pixels` is that of the user."""
    # A stream may announce larger frames later, which the decoder then refuses.
    return {"max_pixels": str(max(max_pixels, MAX_VIDEO_PIXELS))}


def choose_stream(
    name: str | Path, container: av.container.InputContainer, max_pixels: int, num_threads: int = MAX_THREADS
) -> av.VideoStream:
    """Choose the first video stream of an opened container, set up its decoder, and discard all other packets.

    Raises:
        InputError: There is no video stream (only audio), or it cannot be decoded or declares too much.
    """
    # An attached picture is the cover image of an audio file.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        types = sorted({stream.type for stream in container.streams})
        contents = ", ".join(types) or "nothing readable"
        raise InputError(f"{name}: the file has no video stream, only {contents}; remove the file.")
    chosen = streams[0]
    decoder = chosen.codec_context
    if decoder is None:
        raise InputError(f"{name}: its video format cannot be decoded here; convert it to H.264.")
    _check_size(name, decoder, max_pixels)
    decoder.options = decoder_options(max_pixels)
    decoder.thread_count = num_threads
    decoder.thread_type = "NONE" if num_threads == 1 else "AUTO"
    for stream in container.streams:
        if stream.index != chosen.index:
            stream.discard = Discard.all
    return chosen


def check_frame_size(path: str | Path, width: int, height: int, max_pixels: int) -> None:
    """Raise InputError if a frame has more than `max_pixels` pixels."""
    if width * height > max_pixels:
        raise InputError(
            f"{path}: its frames have {width}x{height} pixels, more than the limit of {max_pixels:,}; scale the video "
            "down."
        )


def packet_problem(packet: av.Packet, codec: str) -> str | None:
    """Return why decoding a packet, with the decoder named `codec`, takes memory or time out of proportion, or None."""
    marker, limit = _MARKERS.get(codec, (b"", 0))
    if packet.size <= limit * len(marker) or not marker:
        return None
    count = bytes(packet).count(marker)
    return f"one of its packets has {count:,} parts" if count > limit else None


def min_last_frame_time(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Return a lower bound, in seconds, of the time of the last frame of a complete file.

    A file whose last frame is earlier has been truncated. The number of frames in the header cannot show this: an edit
    list hides frames of a complete file, and the header of an AVI file also counts empty packets (dropped frames).
    The bound is 0 if the metadata is insufficient.
    """
    rate, time_base = stream.average_rate or stream.guessed_rate, stream.time_base
    if not rate or not time_base:
        return 0.0
    # FFmpeg derives the duration of an AVI file from its size, so that it shrinks when the file is truncated. The time
    # base of an AVI stream is one frame, so the frame count of the header is its duration.
    is_avi = container.format.name == "avi"
    duration = stream.frames if is_avi else stream.duration or 0
    end = ((stream.start_time or 0) + duration) * time_base
    # The last frame begins one frame before the end; another half frame allows for rounding.
    return float(end - Fraction(3, 2) / rate)


def _check_size(path: str | Path, decoder: av.VideoCodecContext, max_pixels: int) -> None:
    check_frame_size(path, decoder.width, decoder.height, max_pixels)
    bits = decoder.format.bits_per_pixel if decoder.format else 12
    num_bytes = decoder.width * decoder.height * bits // 8
    if num_bytes > _MAX_REFERENCE_BYTES and not decoder.codec.intra_only:
        raise InputError(
            f"{path}: its frames have {decoder.width}x{decoder.height} pixels of {bits} bits, which is more than "
            f"{_MAX_REFERENCE_BYTES:,} bytes; scale the video down."
        )


def _check_content(path: str | Path) -> None:
    """Raise InputError unless `path` is a regular file that FFmpeg can open with memory in proportion to its size."""
    try:
        with open_regular_file(path, "video") as file:
            num_bytes = os.fstat(file.fileno()).st_size
            if num_bytes == 0:
                raise InputError(f"{path}: not a readable video (the file is empty); replace the file.")
            if file.read(_HEAD_BYTES).count(_START_CODE) > 2 * _MAX_START_CODES:
                raise InputError(f"{path}: not a readable video (mostly start codes without content); remove the file.")
            if _num_declared_samples(file, num_bytes) > max(num_bytes, _MIN_SAMPLES):
                raise InputError(
                    f"{path}: not a readable video (its index is compressed or too long); remove the file."
                )
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: no such video file, or not readable ({reason}); check the data root.") from error


def _num_declared_samples(file: IO[bytes], file_size: int) -> int:
    """Return the number of samples for which FFmpeg allocates memory when it opens an MP4 file; 0 for other files."""
    totals: Counter[bytes] = Counter()
    position = 0
    while position <= file_size - 8:
        file.seek(position)
        header = file.read(16)
        size, kind = int.from_bytes(header[:4]), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:])
        if size < 8:  # 0: the rest of the file
            size = file_size - position
        if kind.isalpha() and kind != b"mdat":
            file.seek(position)
            _add_declared_samples(file.read(min(size, file_size)), totals)
        position += size
    num_edits = totals.pop(b"elst", 0)
    return max(totals.values(), default=0) * (num_edits if num_edits > _MIN_EDITS else 1)


def _add_declared_samples(box: bytes, totals: Counter[bytes]) -> None:
    for match in _MP4_TABLES.finditer(box):
        kind, body = match[0], box[match.end() : match.end() + 12]
        if kind in (b"stts", b"ctts"):  # pairs of a number of samples and their duration or shift
            start, length = match.end() + 8, 8 * int.from_bytes(body[4:8])
            pairs = box[start : start + length]
            counts = np.frombuffer(pairs[: len(pairs) // 8 * 8], ">u4")[::2]
            totals[kind] += int(counts.sum(dtype=np.uint64))
        elif kind == b"cmov":
            totals[kind] = 1 << 62
        else:
            totals[kind] += int.from_bytes(body[8:12] if kind in (b"stsz", b"stz2") else body[4:8])
