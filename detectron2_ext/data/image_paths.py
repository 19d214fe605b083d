"""Paths of images that a file names must stay in the image folder."""

import os
from collections.abc import Sequence

from eva_backbone.errors import InputError


def is_inside(path: str, folder: str) -> bool:
    """Return whether `path`, `folder` joined with a name from a file, is a path below `folder`.

    Symbolic links are not followed: the folder, and what the user links into it, are trusted, but not the names, which
    could otherwise make the process read any file or fetch an address.

    Args:
        path: Result of `os.path.join(folder, name)`.
        folder: Image folder; an empty string for the current one.
    """
    for root in (folder, os.path.abspath(folder)):
        prefix = root if root.endswith("/") or not root else root + "/"
        if path.startswith(prefix):
            name = path[len(prefix) :].replace("\\", "/")
            return "://" not in name and ".." not in name.split("/") and not (not root and name.startswith("/"))
    return False


def check_inside(path: str, folders: Sequence[str], source: str) -> None:
    """Check that `path` is inside of one of the image folders; see `is_inside`.

    Raises:
        InputError: It is not.
    """
    if not any(is_inside(path, folder) for folder in folders):
        raise InputError(
            f"{source}: {path!r} is an address or a path outside of the image folder; put the image into the folder "
            "and give its path from there."
        )
