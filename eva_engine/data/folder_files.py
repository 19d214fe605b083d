"""Find the files of users in folders, without those that operating systems and tools have put there."""

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePath

logger = logging.getLogger(__name__)

# The one list of suffixes of image files, for training, evaluation and prediction of all tasks.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"),
    *(".mpo", ".avif", ".heic", ".heif"),
)
# What macOS, Windows and network storage add to folders; names that begin with a dot are hidden too.
_SYSTEM_NAMES = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information")


def is_hidden(path: str) -> bool:
    """Return whether a relative path is hidden, or in a hidden folder."""
    return any(is_hidden_name(part) for part in PurePath(path).parts)


def is_hidden_name(name: str) -> bool:
    """Return whether a file or folder of this name is hidden."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Return a sort key by which "2" is before "10"; of equal names, such as "a" and "A", the order is fixed, too."""
    parts: list[int | str] = []
    for position, part in enumerate(re.split(r"(\d+)", name.lower())):
        # Every other part consists of the digits that int() reads; others, such as "²", remain text.
        parts.append(int(part) if position % 2 else part)
    return parts, name


def list_folders(folder: str) -> list[str]:
    """Return the names of the folders in `folder` that are not hidden, in natural order."""
    with os.scandir(folder) as entries:
        return sorted(
            (entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name)), key=natural_key
        )


def find_files(folder: str, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[str]:
    """Return the paths, relative to `folder`, of all files below it with one of `suffixes`, in natural order.

    Links to folders are followed, except to one that contains the link. Hidden files and folders and files with other
    suffixes are left out; their numbers are logged.
    """
    names: list[str] = []
    hidden_folders: list[str] = []
    for path, files in walk_folders(folder, hidden_folders):
        names += [os.path.join(path, name) for name in files]
    return select_files(names, folder, suffixes, len(hidden_folders))


def select_files(
    names: Iterable[str], source: str, suffixes: Collection[str] = IMAGE_SUFFIXES, num_hidden_folders: int = 0
) -> list[str]:
    """Return the relative paths in `names` that :func:`find_files` would return, and log the numbers of the others."""
    selected: list[str] = []
    left_out: Counter[str] = Counter({"hidden folders": num_hidden_folders})
    for name in names:
        if is_hidden(name):
            left_out["hidden files"] += 1
        elif os.path.splitext(name)[1].lower() in suffixes:
            selected.append(name)
        else:
            left_out["files of other kinds"] += 1
    counts = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items() if count)
    if counts:
        logger.info("%s: left out %s", source, counts)
    return sorted(selected, key=natural_key)


def has_image(folder: str) -> bool:
    """Return whether :func:`find_files` would find an image, without listing all of them."""
    for _, files in walk_folders(folder, []):
        if any(os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not is_hidden(name) for name in files):
            return True
    return False


def walk_folders(root: str, hidden: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder as a path relative to `root`, with its files, and collect the hidden folders, not entered."""
    for path, folders, files in os.walk(root, followlinks=True):
        hidden += filter(is_hidden, folders)
        # In place, because os.walk descends into the folders that are left.
        folders[:] = [name for name in folders if not is_hidden(name) and not _is_loop(PurePath(path, name))]
        yield os.path.relpath(path, root) if path != root else "", files


def _is_loop(link: PurePath) -> bool:
    return os.path.islink(link) and any(os.path.exists(link) and os.path.samefile(link, up) for up in link.parents)
