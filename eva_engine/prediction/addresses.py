"""Recognise inputs that are not files: HTTP addresses, RTSP streams and cameras."""

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit, urlunsplit

_ADDRESS = re.compile(r"(?:https?|rtsps?)://", re.IGNORECASE)
_OTHER_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_CAMERA = re.compile(r"/dev/video\d+")
_MAX_STEM = 80


def find_address(text: str | Path) -> str:
    """Return the address of an input, or "" if it is a file or folder.

    Args:
        text: Input as the user named it: an address (http, https, rtsp, rtsps), or the number of a camera, which
            becomes its device, such as "/dev/video0". A file or folder whose name is a number is preferred.
    """
    if isinstance(text, Path):  # would have lost one of the slashes
        return ""
    if text.isascii() and text.isdigit() and not os.path.exists(text):
        return f"/dev/video{int(text)}"
    if _ADDRESS.match(text) or _CAMERA.fullmatch(text):
        return text
    return ""


def unsupported_address(text: str | Path) -> str:
    """Return why an input is an address that cannot be read, or "" if it is another input or an existing file."""
    if isinstance(text, Path) or find_address(text) or not _OTHER_ADDRESS.match(text) or os.path.exists(text):
        return ""
    try:
        shown = shown_address(text)
    except ValueError:  # of a host that is none
        shown = text
    return (
        f"{shown}: addresses of this kind are not supported; give the path of a file, or an address with http, https, "
        "rtsp or rtsps"
    )


def is_http(address: str) -> bool:
    """Return whether something can be downloaded from an address."""
    return address.lower().startswith(("http://", "https://"))


def shown_address(address: str) -> str:
    """Return an address for messages and results: without user name, password and fragment."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def address_file_name(address: str) -> PurePosixPath:
    """Return a safe file name for what is at an address: its last part, or the host if it has none.

    Letters, digits, and "-", "_" and "." within the name stay; everything else becomes "_".
    """
    parts = urlsplit(address)
    last = PurePosixPath(unquote(parts.path)).name or parts.netloc.rpartition("@")[2]
    safe = PurePosixPath(re.sub(r"[^\w.-]", "_", last).strip(".") or "input")
    return safe.with_name(safe.stem[:_MAX_STEM] + safe.suffix[:_MAX_STEM])
