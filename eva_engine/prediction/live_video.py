"""Read cameras and network streams frame by frame, with PyAV."""

import os
from collections.abc import Iterator
from typing import Any

import av

from eva_backbone.errors import InputError
from eva_engine.data.video_file import CONTAINER_FORMATS, MAX_VIDEO_PIXELS, choose_stream, decoder_options

from .addresses import shown_address
from .http_reader import HttpReader
from .video import VideoFrame, VideoReader

# What servers send without an end, in addition to the formats of files: JPEG images, each as a part or one after
# another. Playlists (HLS, DASH) are left out, because they refer to other addresses.
STREAM_FORMATS = f"{CONTAINER_FORMATS},mpjpeg,mjpeg"
_RTSP_PROTOCOLS = "rtsp,rtsps,rtp,tcp,udp,tls"
_OPEN_SECONDS, _READ_SECONDS = 30.0, 15.0


class LiveReader(VideoReader):
    """Iterate over the frames of a camera or an RTSP stream until it ends or is stopped.

    Args:
        address: Device of a camera, such as "/dev/video0", or an address that begins with rtsp:// or rtsps://.
        max_pixels: Largest number of pixels of a frame.
        frame_stride: Only the first of every `frame_stride` frames is returned.

    Raises:
        InputError: It cannot be opened, or has no video.
    """

    is_live = True
    waits = False

    def __init__(self, address: str, max_pixels: int = MAX_VIDEO_PIXELS, frame_stride: int = 1) -> None:
        self._address = address
        self._is_reading = False
        super().__init__(shown_address(address), max_pixels, frame_stride)
        self.num_frames = None

    def _open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        if self._address.startswith("/"):
            return self._open_container(self._address, format="v4l2")
        # UDP would lose packets, and many routers block it.
        options = {"rtsp_transport": "tcp", "protocol_whitelist": _RTSP_PROTOCOLS}
        return self._open_container(self._address, container_options=options, timeout=(_OPEN_SECONDS, _READ_SECONDS))

    def _open_container(self, source: Any, **options: Any) -> tuple[av.container.InputContainer, av.VideoStream]:
        try:
            container = av.open(source, options=decoder_options(self.max_pixels), **options)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._not_opened(error) from error
        try:
            return container, choose_stream(self.name, container, self.max_pixels)
        except BaseException:
            container.close()
            raise

    def _not_opened(self, error: Exception) -> InputError:
        reason = getattr(error, "strerror", None) or str(error)
        if not self._address.startswith("/"):
            return InputError(f"{self.name}: the stream cannot be opened ({reason}); check the address.")
        if not os.path.exists(self._address):
            return InputError(f"{self.name}: there is no such camera; connect it, or give the number of another one.")
        return InputError(f"{self.name}: the camera cannot be opened ({reason}); close other programs that use it.")

    def __exit__(self, *_: object) -> None:
        if not self._is_reading:  # a thread that still waits for a frame closes it when it ends
            self._container.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        self._is_reading = True
        try:
            yield from super().__iter__()
        finally:
            self._is_reading = False


class HttpStreamReader(LiveReader):
    """Iterate over the frames that an HTTP server sends without stating their total size.

    Args:
        response: The answer of the server, of which nothing is read yet; the caller closes it.
        max_pixels: Largest number of pixels of a frame.
        frame_stride: Only the first of every `frame_stride` frames is returned.

    Raises:
        InputError: The answer is not a video in one of `STREAM_FORMATS`.
    """

    waits = True  # the server does

    def __init__(self, response: HttpReader, max_pixels: int = MAX_VIDEO_PIXELS, frame_stride: int = 1) -> None:
        self._file = _StreamFile(response)
        super().__init__(response.name, max_pixels, frame_stride)
        response.remove_deadline()

    def _open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        return self._open_container(self._file, container_options={"format_whitelist": STREAM_FORMATS})

    def _not_opened(self, error: Exception) -> InputError:
        if self._file.failure is not None:
            return self._file.failure
        reason = getattr(error, "strerror", None) or str(error)
        return InputError(
            f"{self.name}: not a readable video stream ({reason}); give the address of a video or stream, not of a "
            "page or a playlist."
        )

    def stop(self) -> None:
        """End the connection."""
        self._file.response.stop()

    def __iter__(self) -> Iterator[VideoFrame]:
        yield from super().__iter__()
        if self._file.failure is not None:
            self.problem = str(self._file.failure).removeprefix(f"{self.name}: ").rstrip(".")


class _StreamFile:
    """What FFmpeg reads; a failure of the connection ends it, because FFmpeg cannot pass on the exception."""

    def __init__(self, response: HttpReader) -> None:
        self.response = response
        self.failure: InputError | None = None

    def read(self, size: int) -> bytes:
        if self.failure is not None:
            return b""
        try:
            return self.response.read(size)
        except InputError as error:
            self.failure = error
            return b""
