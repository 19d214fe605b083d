"""Read sampled frames of a video whose frames were extracted to image files."""

import os
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.image_file import read_rgb_image

from .decoding import DecodedClip
from .frame_buffer import FrameBuffer, FrameSampler, PrepareFrame

FIRST_FILE_NUMBER = 1


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
        num_frames: Number of frames of the video; None counts the files of consecutive numbers.
        prepare: Function applied to each frame [H, W, 3].

    Raises:
        InputError: There is no such folder, it has no frame, or a frame is missing, unreadable or of another size.
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
    return total
