"""Limits on what a client of the page may send, and the errors of requests that are refused."""

from dataclasses import dataclass
from http import HTTPStatus

from eva_backbone.errors import InputError

MAX_LABELS, MAX_LABEL_LENGTH = 200, 200


@dataclass(frozen=True)
class Limits:
    """Limits on requests.

    Attributes:
        max_bytes: Largest size of an upload in bytes.
        max_pixels: Largest number of pixels of an image or of a frame of a video.
        max_frames: Number of frames of a video after which a model for images stops.
        max_waiting: Number of requests that may wait for the model; further ones are refused.
    """

    max_bytes: int = 50_000_000
    max_pixels: int = 25_000_000
    max_frames: int = 300
    max_waiting: int = 16


class RefusedError(InputError):
    """A request that is not answered.

    Attributes:
        status: Status code of HTTP.
    """

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status
