"""Image datasets as records, through the readers of timm."""

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
# A folder with one of these names that contains folders is a split of a dataset, not a class.
_SPLITS = ("train", "training", "val", "valid", "validation", "eval", "evaluation", "test")


class ImageRecord(TypedDict):
    """A file name, and the function `read` that returns the opened file and its class index."""

    file_name: str
    read: Callable[[], tuple[IO[bytes], int]]


class ImageDataset(Dataset):
    """Records of a folder with one subfolder per class, a tar file of one, or a Hugging Face dataset (hfds/NAME).

    Without a class map, the classes of a folder are numbered in natural order of their names ("2" before "10"). Files
    with a suffix in `IMAGE_SUFFIXES` are images.

    Args:
        root: The folder or tar file.
        name: timm's name of the dataset: empty for folders and tar files, or "hfds/NAME".
        split: Subfolder of `root` to use if it exists, else all of `root` is used; or split of a named dataset.
        class_map: Maps class names to class indices: a dict, a text file (.txt, possibly relative to `root`) with one
            name per line, or "imagenet", "imagenet_a", "imagenet_r", "imagenet_v2". The class name of an image in a
            folder is the name of that folder.
        on_unlisted_class: What to do with images of a class that `class_map` does not list: "stop" raises
            `InputError`, "skip" leaves them out.
        num_classes: Number of classes of the model; None for any.
        options: Further arguments of timm's `create_dataset`, such as input_key.

    Raises:
        InputError: There are no images, only folders of other splits, a dataset that can only be streamed, a class map
            that does not list all classes, or more classes than `num_classes`.

    Attributes:
        class_numbers: Class index by class name, of the classes that have images.
    """

    def __init__(
        self,
        root: str,
        *,
        name: str = "",
        split: str = "validation",
        class_map: Mapping[str, int] | str | None = None,
        on_unlisted_class: Literal["stop", "skip"] = "stop",
        num_classes: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if on_unlisted_class not in ("stop", "skip"):
            raise InputError(f'on_unlisted_class is {on_unlisted_class!r}, expected "stop" or "skip".')
        if not name and not os.path.exists(root):
            raise InputError(f"the image folder {root} does not exist; set the dataset's root to an existing folder.")
        class_map = _load_class_map(class_map, root)
        self._reader = _create_reader(root, name, split, class_map, options or {})
        self.source = str(getattr(self._reader, "root", None) or name)
        if not name and self.source == root:
            _check_splits(root, split)
        is_folder_or_tar = isinstance(self._reader, ReaderImageFolder | ReaderImageInTar)
        if class_map is not None and is_folder_or_tar:
            _apply_class_map(self._reader, class_map, on_unlisted_class, self.source)
        if isinstance(self._reader, ReaderImageFolder):
            # One serialised block of memory that all workers share, instead of a tuple and a string per image.
            self._reader.samples = DatasetFromList(self._reader.samples, copy=False)
        self.class_numbers = dict(self._class_to_index())
        _check_num_classes(self.class_numbers, num_classes, self.source)
        is_numbered_by_folder = class_map is None and is_folder_or_tar
        if is_numbered_by_folder and num_classes is not None and len(self.class_numbers) < num_classes:
            logger.warning(
                "%s has images of %d classes, but the model has %d: they are numbered in the order of these folders, "
                "which differs from that of a dataset with more classes; list all classes in a class map.",
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
        # The readers of timm use different names for it.
        for attribute in ("class_to_idx", "class_name_to_idx"):
            if getattr(self._reader, attribute, None):
                return getattr(self._reader, attribute)
        return {}


def _create_reader(
    root: str, name: str, split: str, class_map: dict[str, int] | None, options: Mapping[str, Any]
) -> Any:
    arguments = dict(options)
    # The class map of folders and tar files is applied afterwards: timm would leave out images of unlisted classes
    # without a message.
    if class_map is not None and name:
        arguments["class_map"] = class_map
    try:
        with _all_image_suffixes():
            dataset = create_dataset(name, root=root, split=split, **arguments)
    # If the package that reads a named dataset is missing, timm's readers raise almost any exception.
    except (RuntimeError, ValueError, AssertionError, ImportError, NameError, AttributeError, OSError) as error:
        advice = "check the folder"
        if name:
            advice = "install the package with which timm reads it, or correct the name"
        raise InputError(f"the images of {name or root} cannot be read ({_first_line(error)}); {advice}.") from error
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "reader"):
        raise InputError(
            f"{name} gives its images as a stream or without file names, so a run could not be resumed exactly; use an "
            "image folder, a tar file or hfds/NAME."
        )
    return dataset.reader


@contextmanager
def _all_image_suffixes() -> Iterator[None]:
    """Make timm find images of all supported formats; by default it finds PNG and JPEG only."""
    before = get_img_extensions()
    set_img_extensions((*before, *IMAGE_SUFFIXES))
    try:
        yield
    finally:
        set_img_extensions(before)


def _check_splits(root: str, split: str) -> None:
    """Raise InputError if `root` has no folder `split` but folders of other splits, which are not classes."""
    others = [name for name in _SPLITS if any(child.is_dir() for child in Path(root, name).glob("*"))]
    if others:
        raise InputError(
            f"{root} has no folder {split}, but {', '.join(others)}: set split to one of these, or set the dataset's "
            "root to the folder to read."
        )


def _load_class_map(class_map: Mapping[str, int] | str | None, root: str) -> dict[str, int] | None:
    if class_map is None:
        return None
    if not isinstance(class_map, str):
        return {str(name): int(index) for name, index in class_map.items()}
    known = named_class_map(class_map)
    if known is not None:
        return known
    if not class_map.endswith(".txt"):
        raise InputError(
            f"the class map {class_map} is not a text file; give a .txt file with one class name per line, or one of "
            "imagenet, imagenet_a, imagenet_r, imagenet_v2."
        )
    return read_class_map(class_map, root)


def _apply_class_map(
    reader: ReaderImageFolder | ReaderImageInTar, class_map: Mapping[str, int], on_unlisted_class: str, source: str
) -> None:
    """Replace the class indices of timm's reader with those of `class_map`, and drop images of unlisted classes."""
    timm_index_of = reader.class_name_to_idx if isinstance(reader, ReaderImageInTar) else reader.class_to_idx
    unlisted = sorted(timm_index_of.keys() - class_map.keys())
    if unlisted and on_unlisted_class == "stop":
        names = ", ".join(name or "no folder" for name in unlisted[:_MAX_NAMES])
        if len(unlisted) > _MAX_NAMES:
            names += f" and {len(unlisted) - _MAX_NAMES} more"
        raise InputError(
            f"{source} has images in {names}, which the class map does not list; add the missing classes to it, or "
            'leave their images out with on_unlisted_class="skip".'
        )
    index_of = {name: class_map[name] for name in timm_index_of if name in class_map}
    if not index_of:
        raise InputError(f"{source} has no images of any class in the class map; check both.")
    new_index = {timm_index_of[name]: index for name, index in index_of.items()}
    if isinstance(reader, ReaderImageInTar):
        kept = np.isin(reader.targets, list(new_index))
        reader.samples = reader.samples[kept]
        reader.targets = np.array([new_index[index] for index in reader.targets[kept]])
        reader.class_name_to_idx = index_of
    else:
        reader.samples = [(path, new_index[index]) for path, index in reader.samples if index in new_index]
        reader.class_to_idx = index_of


def _check_num_classes(class_numbers: Mapping[str, int], num_classes: int | None, source: str) -> None:
    if num_classes is None or not class_numbers:
        return
    needed = max(class_numbers.values()) + 1
    if needed > num_classes:
        raise InputError(
            f"{source} has {needed} classes, but the model only {num_classes}; set the model's num_classes to "
            f"{needed}, or check the folder."
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
