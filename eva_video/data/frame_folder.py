"""Read sampled frames of a video whose frames were extracted to image files."""

import os
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.image_file import read_rgb_image
from eva_engine.prediction.inputs import IMAGE_SUFFIXES

from .decoding import DecodedClip
from .frame_buffer import FrameBuffer, FrameSampler, PrepareFrame

FIRST_FILE_NUMBER = 1
_MAX_DIGITS = 9


def read_frame_folder(
    folder: str,
    pattern: str,
    sampler: FrameSampler,
    *,
    num_frames: int | None = None,
    prepare: PrepareFrame | None = None,
) -> DecodedClip:
    """Read the sampled frames from a folder, as `read_clip` reads those of a file.

    Args:
        folder: The folder of one video.
        pattern: File name of a frame, such as "img_{:05d}.jpg"; the first frame has the number 1.
        sampler: Function from the number of frames to the indices to read, counted from 0.
        num_frames: Number of frames of the video; None counts the files.
        prepare: Function applied to each frame [H, W, 3].

    Raises:
        InputError: There is no such folder, it has no frame, or a frame is missing (a gap in
            the numbers, or another suffix), unreadable or of another size.
    """
    total = _count_frames(folder, pattern) if num_frames is None else num_frames
    if total == 0:
        raise InputError(
            f"{folder} has no frame {pattern.format(FIRST_FILE_NUMBER)}; check the folder and the frame_pattern."
        )
    buffer = FrameBuffer(sampler(total), prepare)
    shape: tuple[int, ...] | None = None
    for index in sorted(buffer.missing):
        path = str(Path(folder, pattern.format(index + FIRST_FILE_NUMBER)))
        image = read_rgb_image(path)
        if shape not in (None, image.shape):
            raise InputError(f"{path}: its size differs from that of the frames before; extract the video again.")
        shape = image.shape
        buffer.put(index, image)
    return DecodedClip(buffer.frames, total)


def check_frame_pattern(pattern: str) -> str:
    """Return `pattern`; raise `InputError` unless it gives each frame a different file name."""
    try:
        names = {pattern.format(number) for number in (1, 2)}
    except (IndexError, KeyError, ValueError):
        names = set()
    if len(names) < 2:
        raise InputError(
            f'frame_pattern={pattern!r} has no placeholder for the number; give one such as "img_{{:05d}}.jpg".'
        )
    return pattern


def _count_frames(folder: str, pattern: str) -> int:
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(f"{folder}: no such folder of frames; check the data root.") from error
    total = 0
    while pattern.format(total + FIRST_FILE_NUMBER) in names:
        total += 1
    others = _frame_numbers(names, pattern) - set(range(FIRST_FILE_NUMBER, total + FIRST_FILE_NUMBER))
    if others:
        raise InputError(
            f"{folder} has no frame {pattern.format(total + FIRST_FILE_NUMBER)}, but {len(others)} others such as "
            f"number {min(others)}; number them from {FIRST_FILE_NUMBER} without gaps, all as {pattern}, or give the "
            "number of frames in the annotation file."
        )
    return total


def _frame_numbers(names: set[str], pattern: str) -> set[int]:
    """Return the numbers of the files that are named as `pattern`, including those with another image suffix."""
    start, end = pattern.index("{"), pattern.rindex("}") + 1
    stem_pattern, suffix = os.path.splitext(pattern) if "." in pattern[end:] else (pattern, "")
    tail = stem_pattern[end:]
    numbers = set()
    for stem, other in map(os.path.splitext, names):
        text = stem[start : len(stem) - len(tail)]
        is_number = text.isdecimal() and len(text) <= _MAX_DIGITS and stem_pattern.format(int(text)) == stem
        if is_number and (other == suffix or other.lower() in IMAGE_SUFFIXES):
            numbers.add(int(text))
    return numbers
