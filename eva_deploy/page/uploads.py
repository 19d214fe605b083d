"""Uploaded files: safe names, limits on their size, and messages that do not show where the server stores them."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.image_file import opened_image
from eva_engine.prediction.inputs import VIDEO_SUFFIXES, Input
from eva_engine.prediction.video import VideoReader

from .limits import Limits, RefusedError

_MAX_STEM, _MAX_SUFFIX = 200, 16  # bytes


@dataclass(frozen=True)
class Upload:
    """A file that a client has sent.

    Attributes:
        item: The file, in a folder of its own.
        name: Its name for results and messages.
    """

    item: Input
    name: str

    def public(self, text: str) -> str:
        """Return a message or document without the name of the server's folder."""
        return text.replace(f"{self.item.path.parent}/", "")


def upload_kind(name: str, content_type: str, kinds: Sequence[str]) -> str:
    """Return the kind of an upload, "image" or "video", from what the client says; its content is checked later.

    Args:
        name: Name of the file.
        content_type: Media type, or "" if it is not known.
        kinds: Kinds that the model accepts.

    Raises:
        RefusedError: The model does not accept this kind.
    """
    is_video = content_type.startswith("video/") or Path(name).suffix.lower() in VIDEO_SUFFIXES
    if len(kinds) == 1 and not (is_video or content_type.startswith("image/")):
        return kinds[0]
    kind = "video" if is_video else "image"
    if kind not in kinds:
        raise RefusedError(
            f"the model takes {' or '.join(f'{accepted}s' for accepted in kinds)}, not {kind}s; send one.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    return kind


@contextmanager
def stored_upload(content: bytes | Path, name: str, kind: str, limits: Limits) -> Iterator[Upload]:
    """Yield an upload as a file in a temporary folder, which is removed after the block.

    Errors of the block name the upload as the client did.

    Args:
        content: The bytes, or the file in which they are.
        name: File name of the client, of which only letters, digits, "-", "_" and "." are kept.
        kind: "image" or "video".
        limits: The limits.

    Raises:
        InputError: The file is larger than the limits, or not a readable image or video.
    """
    safe_name = _safe_name(name)
    with tempfile.TemporaryDirectory(prefix="eva-vision-") as folder:
        path = Path(folder, safe_name)
        upload = Upload(Input(path, kind, path.stem), safe_name)
        num_bytes = len(content) if isinstance(content, bytes) else content.stat().st_size
        if num_bytes > limits.max_bytes:
            raise too_large(limits.max_bytes)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.symlink_to(content.resolve())
        try:
            _check_pixels(upload, limits.max_pixels)
            yield upload
        except RefusedError:
            raise
        except InputError as error:
            raise InputError(upload.public(str(error))) from error


def too_large(max_bytes: int) -> RefusedError:
    """Return the error of an upload that is larger than `max_bytes`."""
    return RefusedError(
        f"the file has more than {max_bytes:,} bytes, the limit; send a smaller one.",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )


def _safe_name(name: str) -> str:
    last = Path(re.sub(r"[^\w.-]", "_", re.split(r"[/\\]", name)[-1]).strip("."))
    return _first_bytes(last.stem, _MAX_STEM) + _first_bytes(last.suffix, _MAX_SUFFIX) or "upload"


def _first_bytes(text: str, most: int) -> str:
    """Return as many characters as have at most `most` bytes: file systems limit the bytes of a name."""
    return text.encode()[:most].decode(errors="ignore")


def _check_pixels(upload: Upload, max_pixels: int) -> None:
    path = upload.item.path
    if upload.item.kind == "video":
        with VideoReader(path, max_pixels):  # which checks the size
            return
    with opened_image(path, str(path)) as (image, _):
        width, height = image.size
    if width * height > max_pixels:
        raise InputError(
            f"{path}: {width}x{height} pixels, more than the limit of {max_pixels:,}; scale the image down."
        )
