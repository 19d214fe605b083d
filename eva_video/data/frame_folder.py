"""Frames of a video that were extracted to image files."""

import os
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.image_file import read_image

from .chosen_frames import ChooseFrames, ChosenFrames, PrepareFrame
from .decoding import Clip

FIRST_NUMBER = 1


def read_folder(
    folder: str,
    pattern: str,
    choose: ChooseFrames,
    *,
    num_frames: int | None = None,
    prepare: PrepareFrame | None = None,
) -> Clip:
    """Frames of a folder by their numbers, counted from 0, as `read_clip` gives those of a file.

    Args:
        pattern: name of a frame's file, such as "img_{:05d}.jpg"; the first is number 1 in it.
        num_frames: of the video; None: as many as lie in the folder without a gap.

    Raises:
        InputError: no such folder, no frame in it, or one that is missing, unreadable or of another size.
    """
    total = _count(folder, pattern) if num_frames is None else num_frames
    if total == 0:
        raise InputError(
            f"{folder}: has no frame {pattern.format(FIRST_NUMBER)}; check the folder and the pattern of names."
        )
    chosen = ChosenFrames(choose(total), prepare)
    shape: tuple[int, ...] | None = None
    for number in sorted(chosen.missing):
        path = str(Path(folder, pattern.format(number + FIRST_NUMBER)))
        image = read_image(path, "RGB")
        if shape not in (None, image.shape):
            raise InputError(f"{path}: is of another size than the frames before it; extract the video anew.")
        shape = image.shape
        chosen.put(number, image)
    return Clip(chosen.frames, total)


def check_pattern(pattern: str) -> str:
    """Returns `pattern` if it gives every frame a name of its own, else raises InputError."""
    try:
        names = {pattern.format(number) for number in (1, 2)}
    except (IndexError, KeyError, ValueError):
        names = set()
    if len(names) < 2:
        raise InputError(
            f'the pattern of frames {pattern!r} has no place for a number; give one like "img_{{:05d}}.jpg".'
        )
    return pattern


def _count(folder: str, pattern: str) -> int:
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
    except (OSError, ValueError) as error:  # the latter for a zero byte in the name
        raise InputError(f"{folder}: no such folder of frames; check the data root.") from error
    total = 0
    while pattern.format(total + FIRST_NUMBER) in names:
        total += 1
    return total
