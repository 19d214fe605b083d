"""Open what frames come from: a video file, an address that is downloaded or streamed, or a camera."""

from collections.abc import Iterator
from contextlib import contextmanager

from eva_engine.data.video_file import MAX_VIDEO_PIXELS

from .addresses import is_http
from .download import MAX_DOWNLOAD_SECONDS, downloaded
from .http_reader import HttpReader
from .inputs import Input
from .live_video import HttpStreamReader, LiveReader
from .video import VideoReader


@contextmanager
def opened_frames(item: Input, *, frame_stride: int = 1, max_pixels: int = MAX_VIDEO_PIXELS) -> Iterator[VideoReader]:
    """Open the frames of an input of the kind "video" as a `VideoReader`, and close it after the block.

    What an HTTP server sends with a stated size is downloaded first; anything else is read while it comes.

    Args:
        item: File, address or camera.
        frame_stride: Only the first of every `frame_stride` frames is returned.
        max_pixels: Largest number of pixels of a frame.

    Raises:
        InputError: It cannot be opened, or is not a video; while iterating, also if no frame can be decoded.
    """
    if not item.address:
        with VideoReader(item.path, max_pixels, frame_stride) as reader:
            yield reader
    elif not is_http(item.address):
        with LiveReader(item.address, max_pixels, frame_stride) as reader:
            yield reader
    else:
        with HttpReader(item.address, MAX_DOWNLOAD_SECONDS) as response:
            if response.length is None:
                with HttpStreamReader(response, max_pixels, frame_stride) as reader:
                    yield reader
            else:
                with downloaded(response, item) as path, VideoReader(path, max_pixels, frame_stride) as reader:
                    reader.name = item.name
                    yield reader
