"""The images of a data set as records, read through timm's readers."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, TypedDict

import numpy as np
from detectron2.data import DatasetFromList
from timm.data import create_dataset, get_img_extensions, set_img_extensions
from timm.data.readers.reader_image_folder import ReaderImageFolder
from timm.data.readers.reader_image_in_tar import ReaderImageInTar
from torch.utils.data import Dataset, IterableDataset

from eva_backbone.errors import InputError
from eva_engine.prediction.inputs import IMAGE_SUFFIXES

from .class_maps import named_class_map, read_class_map

logger = logging.getLogger(__name__)

_MAX_NAMES = 5
# A folder of one of these names that holds folders is a part of a data set, not a class.
_SPLITS = ("train", "training", "val", "valid", "validation", "eval", "evaluation", "test")


class ImageRecord(TypedDict):
    """`read` opens the file and gives it with its class number."""

    file_name: str
    read: Callable[[], tuple[IO[bytes], int]]


class ImageDataset(Dataset):
    """Records of a folder with one folder per class, of a tar file of such, or of a Hugging Face data set (hfds/NAME).

    Without a class map the classes of a folder are numbered in the order of their names, with numbers by their value.
    Pictures are the files with an ending of `IMAGE_SUFFIXES`.

    Args:
        root: the folder or tar file.
        name: timm's name of the data set: empty for folders and tar files, or "hfds/NAME".
        split: folder below `root` to use if it is there, else the whole root; or split of a named data set.
        class_map: from class name to number, as a dict, a text file (.txt, maybe below `root`) with one name a line, or
            "imagenet", "imagenet_a", "imagenet_r", "imagenet_v2"; the class of an image in a folder is the name of that
            folder.
        unlisted: what happens to images in a folder of a class that is not in `class_map`.
        num_classes: how many classes the model knows; None: any number.
        options: further arguments of timm's `create_dataset`, such as input_key.

    Raises:
        InputError: nothing to read, folders of other splits only, a data set that can only be streamed, a class map
            that lacks classes, or more classes than `num_classes`.
    """

    def __init__(
        self,
        root: str,
        *,
        name: str = "",
        split: str = "validation",
        class_map: Mapping[str, int] | str | None = None,
        unlisted: Literal["stop", "leave_out"] = "stop",
        num_classes: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if unlisted not in ("stop", "leave_out"):
            raise InputError(f'unlisted is {unlisted!r}, expected "stop" or "leave_out".')
        if not name and not os.path.exists(root):
            raise InputError(f"the image folder {root} does not exist; set the root of the data set to its folder.")
        class_map = _load_class_map(class_map, root)
        handed_on = dict(options or {})
        # Folders and tar files are read with their own numbers first: given a class map, timm would leave out unlisted
        # images silently.
        if class_map is not None and name:
            handed_on["class_map"] = class_map
        try:
            with _all_pictures():
                dataset = create_dataset(name, root=root, split=split, **handed_on)
        # Where the package that reads a named data set is missing, timm's reader fails in nearly any way.
        except (RuntimeError, ValueError, AssertionError, ImportError, NameError, AttributeError, OSError) as error:
            mend = "install the package that timm reads it with, or correct the name" if name else "check the folder"
            raise InputError(f"the images of {name or root} cannot be read ({_first_line(error)}); {mend}.") from error
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "reader"):
            raise InputError(
                f"{name} gives its images as a stream or without their names, so a run could not be resumed exactly; "
                "use an image folder, a tar file or hfds/NAME."
            )
        self._reader = dataset.reader
        self.source = str(getattr(self._reader, "root", None) or name)
        if not name and self.source == root:
            _check_splits(root, split)
        is_numbered_here = isinstance(self._reader, ReaderImageFolder | ReaderImageInTar)
        if class_map is not None and is_numbered_here:
            _renumber(self._reader, class_map, unlisted, self.source)
        if isinstance(self._reader, ReaderImageFolder):
            # One block of memory that the workers share, in place of a tuple and a string for each image.
            self._reader.samples = DatasetFromList(self._reader.samples, copy=False)
        self.class_numbers = dict(self._class_to_index())
        _check_number(self.class_numbers, num_classes, self.source)
        if class_map is None and is_numbered_here and len(self.class_numbers) < (num_classes or 0):
            logger.warning(
                "%s has images of %d classes, the model has %d: they are numbered in the order of these folders, which "
                "is not that of a data set with more; list all classes in a class map.",
                self.source,
                len(self.class_numbers),
                num_classes,
            )

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, index: int) -> ImageRecord:
        file_name = self._reader.filename(index, absolute=True)
        return {"file_name": str(file_name or f"image {index}"), "read": partial(self._reader.__getitem__, index)}

    def _class_to_index(self) -> Mapping[str, int]:
        for name in ("class_to_idx", "class_name_to_idx"):
            if getattr(self._reader, name, None):
                return getattr(self._reader, name)
        return {}


@contextmanager
def _all_pictures() -> Iterator[None]:
    """Meanwhile timm looks for all kinds of pictures; otherwise it leaves out all but PNG and JPEG silently."""
    before = get_img_extensions()
    set_img_extensions((*before, *IMAGE_SUFFIXES))
    try:
        yield
    finally:
        set_img_extensions(before)


def _check_splits(root: str, split: str) -> None:
    """`root` was taken whole, for want of the split: it must not be made of others."""
    others = [name for name in _SPLITS if any(child.is_dir() for child in Path(root, name).glob("*"))]
    if others:
        raise InputError(
            f"{root} has no folder {split}, but {', '.join(others)}: name the one to read with split, or give it as "
            "root of the data set."
        )


def _load_class_map(class_map: Mapping[str, int] | str | None, root: str) -> dict[str, int] | None:
    if class_map is None:
        return None
    if isinstance(class_map, str):
        known = named_class_map(class_map)
        if known is not None:
            return known
        if not class_map.endswith(".txt"):
            raise InputError(
                f"the class map {class_map} is no text file; give a .txt with a class name on every line, or imagenet, "
                "imagenet_a, imagenet_r, imagenet_v2."
            )
        return read_class_map(class_map, root)
    return {str(name): int(number) for name, number in class_map.items()}


def _renumber(
    reader: ReaderImageFolder | ReaderImageInTar, class_map: Mapping[str, int], unlisted: str, source: str
) -> None:
    """Give the images of `reader` the numbers of `class_map`."""
    classes = reader.class_name_to_idx if isinstance(reader, ReaderImageInTar) else reader.class_to_idx
    missing = [name or "no folder" for name in sorted(classes.keys() - class_map.keys())]
    if missing and unlisted == "stop":
        more = f" and {len(missing) - _MAX_NAMES} more" if len(missing) > _MAX_NAMES else ""
        raise InputError(
            f"{source} has images in {', '.join(missing[:_MAX_NAMES])}{more}, which the class map does not list; add "
            'the missing classes to it, or leave their images out with unlisted="leave_out".'
        )
    new_classes = {name: class_map[name] for name in classes if name in class_map}
    if not new_classes:
        raise InputError(f"{source} has no image of a class that the class map lists; check both.")
    new_numbers = {classes[name]: number for name, number in new_classes.items()}
    if isinstance(reader, ReaderImageInTar):
        kept = np.isin(reader.targets, list(new_numbers))
        reader.samples, reader.class_name_to_idx = reader.samples[kept], new_classes
        reader.targets = np.array([new_numbers[number] for number in reader.targets[kept]])
    else:
        reader.samples = [(path, new_numbers[number]) for path, number in reader.samples if number in new_numbers]
        reader.class_to_idx = new_classes


def _check_number(class_numbers: Mapping[str, int], num_classes: int | None, source: str) -> None:
    if num_classes is None or not class_numbers:
        return
    highest = max(class_numbers.values()) + 1
    if highest > num_classes:
        raise InputError(
            f"{source} has {highest} classes, the model only {num_classes}; set the model's num_classes to {highest}, "
            "or check the folder."
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
