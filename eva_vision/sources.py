"""What a model can predict on: files, folders, videos, and images in memory."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.prediction.addresses import find_address
from eva_engine.prediction.frame_source import opened_frames
from eva_engine.prediction.inputs import Input, list_inputs
from eva_engine.prediction.video import VideoReader
from eva_engine.safe_text import printable

logger = logging.getLogger("eva_vision")
ACCEPTED = (
    "a path, a web address, a PIL image, a uint8 array [H, W, 3], a tensor [3, H, W], or a list or generator of them"
)
# Why a file in a folder is left out.
_LEFT_OUT = {
    "image": "an image; the model takes videos",
    "video": "a video; give it alone, or the folder with stream=True, for its frames",
}


class Source(NamedTuple):
    """An image or video to predict on.

    Attributes:
        name: Its file, or "" for an image in memory.
        content: A file, an image of Pillow that is not decoded yet, or [H, W, 3] uint8 RGB, or [H, W, 3] RGB or
            [H, W] grey values uint16.
        is_from_folder: Whether it was found in a folder, rather than named by the user.
        frame: Number of the frame of a video, from 0.
        time: Time of the frame in seconds.
    """

    name: str
    content: Input | Image.Image | np.ndarray
    is_from_folder: bool = False
    frame: int | None = None
    time: float | None = None


@dataclass
class SourceList:
    """The sources of a call.

    Attributes:
        sources: The sources, which can be an iterator without an end.
        is_stream: Whether it is an iterator.
        video: Video, camera or stream whose frames the sources are, or None.
        has_folder: Whether some were found in a folder.
        problems: "path: reason" for files of a folder that cannot be used.
    """

    sources: Iterable[Source]
    is_stream: bool = False
    video: Input | None = None
    has_folder: bool = False
    problems: Sequence[str] = ()

    def log_problems(self) -> None:
        """Log the files that are left out."""
        for problem in self.problems:
            logger.warning("failed: %s", printable(problem))

    def all_required(self) -> Iterator[Source]:
        """Yield the sources as if each had been named: none of them is left out if it cannot be read."""
        self.log_problems()
        for source in self.sources:
            yield source._replace(is_from_folder=False)


def find_sources(
    given: Any, kinds: Sequence[str], recursive: bool = False, videos_in_folders: bool = False
) -> SourceList:
    """Find out what the user has given to predict on.

    Args:
        given: The path of a file or folder, a web address, "0" or 0 for a camera, an image in memory, or several: a
            list, a batch of images in one array or tensor, or an iterator.
        kinds: Kinds of inputs that the model accepts, "image" or "video".
        recursive: Search the subfolders of folders too.
        videos_in_folders: For a model that takes images, whether the sources include the frames of videos in a folder,
            which are otherwise left out.

    Raises:
        InputError: It is nothing that the model can predict on.
    """
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        given = str(given)
    if isinstance(given, str | os.PathLike):
        if not os.fspath(given):
            raise InputError(f"the source is an empty text; give {ACCEPTED}.")
        return _from_path(os.fspath(given), kinds, recursive, videos_in_folders)
    if isinstance(given, np.ndarray | torch.Tensor) and given.ndim == 4:
        return SourceList([_in_memory(image, kinds) for image in given])
    if isinstance(given, Image.Image | np.ndarray | torch.Tensor):
        return SourceList([_in_memory(given, kinds)])
    if isinstance(given, list | tuple):
        return _from_list(given, kinds, recursive)
    # Bytes and open files can be iterated over as well, but their parts are no images.
    is_content = isinstance(given, bytes | bytearray | memoryview) or hasattr(given, "read")
    if isinstance(given, Iterable) and not is_content:
        return SourceList(_from_iterator(given, kinds, recursive), is_stream=True)
    raise InputError(f"the source is of type {type(given).__name__}, which cannot be predicted on; give {ACCEPTED}.")


def _from_path(path: str, kinds: Sequence[str], recursive: bool, videos_in_folders: bool) -> SourceList:
    if find_address(path) or not Path(path).is_dir():
        found = list_inputs([path], None)
        if found.unusable:
            raise InputError(f"{found.unusable[0]}.")
        (item,) = found.inputs
        if item.kind == "video" and "video" not in kinds:
            return SourceList(_frames(item), is_stream=True, video=item)
        _check_kind(item.name, item.kind, kinds)
        return SourceList([Source(item.name, item)])
    found = list_inputs([path], None, recursive)
    wanted = ("image", "video") if videos_in_folders else kinds
    inputs = [item for item in found.inputs if item.kind in wanted]
    if not inputs:
        raise InputError(f"no {' or '.join(wanted)} in {path}: name a folder that has some, or search its subfolders.")
    problems = list(found.unusable)
    for item in found.inputs:
        if item.kind not in wanted:
            problems.append(f"{item.name}: {_LEFT_OUT[item.kind]}")
    return SourceList(_in_folder(inputs, kinds), has_folder=True, problems=problems)


def _in_folder(inputs: Iterable[Input], kinds: Sequence[str]) -> Iterator[Source]:
    for item in inputs:
        if item.kind in kinds:
            yield Source(str(item.path), item, is_from_folder=True)
            continue
        try:
            for frame in _frames(item):
                yield frame._replace(is_from_folder=True)
        except InputError as error:
            logger.warning("failed: %s", printable(str(error)))


def _from_list(given: Sequence[Any], kinds: Sequence[str], recursive: bool) -> SourceList:
    sources: list[Source] = []
    has_folder = False
    problems: list[str] = []
    for part in given:
        found = find_sources(part, kinds, recursive)
        if found.is_stream:
            raise InputError(
                "a video or iterator cannot be in a list, because its results are a generator; give it alone."
            )
        sources += found.sources
        has_folder |= found.has_folder
        problems += found.problems
    return SourceList(sources, has_folder=has_folder, problems=problems)


def _from_iterator(given: Iterable[Any], kinds: Sequence[str], recursive: bool) -> Iterator[Source]:
    for part in given:
        found = _from_list([part], kinds, recursive)
        found.log_problems()
        yield from found.sources


def _frames(item: Input) -> Iterator[Source]:
    with opened_frames(item) as reader:
        for frame in reader:
            yield Source(reader.name, frame.image, frame=frame.index, time=frame.time)
        log_problem(reader)


def log_problem(reader: VideoReader) -> None:
    """Log what was wrong with a video that has been read."""
    if reader.problem:
        logger.warning("%s: %s", printable(reader.name), printable(reader.problem))


def _in_memory(image: Any, kinds: Sequence[str]) -> Source:
    _check_kind("the image in memory", "image", kinds)
    if isinstance(image, Image.Image):
        return Source(getattr(image, "filename", ""), image)
    if isinstance(image, torch.Tensor):
        return Source("", _tensor_to_array(image))
    is_deep = image.dtype == np.uint16 and (image.ndim == 2 or image.shape[2:] == (3,)) and image.size > 0
    if not is_deep and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape):
        raise InputError(
            f"an array {list(image.shape)} of {image.dtype} is not an image; give uint8 RGB values as [H, W, 3]."
        )
    return Source("", image.copy())  # the caller may reuse the memory while the image waits for the model


def _tensor_to_array(image: torch.Tensor) -> np.ndarray:
    """Return a tensor [3, H, W], uint8 or fractions of white, as [H, W, 3] uint8."""
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise InputError(f"a tensor {list(image.shape)} is not an image; give RGB values as [3, H, W].")
    image = image.detach().cpu()
    if image.is_floating_point():
        if not 0 <= float(image.min()) <= float(image.max()) <= 1:
            raise InputError("a tensor of floating-point numbers must have RGB values from 0 to 1; scale it.")
        image = (image.float() * 255).round().to(torch.uint8)
    if image.dtype != torch.uint8:
        raise InputError(f"a tensor of {image.dtype} is not an image; give uint8, or values from 0 to 1.")
    return image.permute(1, 2, 0).contiguous().numpy().copy()


def _check_kind(name: str, kind: str, kinds: Sequence[str]) -> None:
    if kind not in kinds:
        raise InputError(f"{name} is an {kind}, but the model takes {' or '.join(kinds)} files; give one.")
