"""Image datasets as records: folders, tar files, and the named datasets that timm reads."""

import io
import logging
import os
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any, Literal, TypedDict

from detectron2.data import DatasetFromList
from omegaconf import DictConfig
from timm.data import create_dataset
from torch.utils.data import Dataset, IterableDataset

from eva_backbone.errors import InputError
from eva_engine.data.folder_files import find_files, list_folders, natural_key, select_files
from eva_engine.data.image_file import open_regular_file

from .class_folders import check_num_classes, find_classes, find_split, join_names, split_of
from .class_list import use_class_list
from .class_maps import load_class_map
from .image_list import read_image_list

logger = logging.getLogger(__name__)


class ImageRecord(TypedDict):
    """A file name, and the function `read` that returns the opened file and its class index."""

    file_name: str
    read: Callable[[], tuple[IO[bytes], int]]


class ImageDataset(Dataset):
    """Records of a folder with one subfolder per class, a tar file of one, or a Hugging Face dataset (hfds/NAME).

    Without a class map, the classes of a folder are numbered in natural order of their names ("2" before "10"). The
    content of a class may be in further folders; see `find_classes`. Files with a suffix in `IMAGE_SUFFIXES` are
    images. Hidden files, and images that are not in the folder of a class, are counted and left out.

    Args:
        root: The folder or tar file.
        name: timm's name of the dataset: empty for folders and tar files, or "hfds/NAME".
        split: Folder of the split in `root`, see `find_split`; `root` itself is used if its folders are classes, or for
            None. Or the split of a named dataset.
        class_map: Maps class names to class indices: a dict, the names in the order of their indices, a text file
            (.txt, possibly relative to `root`) with one name per line, or "imagenet", "imagenet_a", "imagenet_r",
            "imagenet_v2".
        on_unlisted_class: What to do with images of a class that `class_map` does not list: "stop" raises
            `InputError`, "skip" leaves them out.
        num_classes: Number of classes of the model; None for any.
        has_labels: Whether the folders are classes; otherwise all images are used, with the class index 0.
        listing: List of the images to use, with their classes, instead of all that are in folders; see
            `read_image_list`. Its paths start at `root`.
        options: Further arguments of timm's `create_dataset` for named datasets, such as input_key.

    Raises:
        InputError: There are no images, no such split, a dataset that can only be streamed, a class map that does not
            list all classes, or more classes than `num_classes`.

    Attributes:
        class_numbers: Class index by class name; with a class map, of the classes that have images.
        is_numbered_by_folder: Whether the order of the folders gives the class indices.
    """

    def __init__(
        self,
        root: str,
        *,
        name: str = "",
        split: str | None = "validation",
        class_map: Mapping[str, int] | Sequence[str] | str | None = None,
        on_unlisted_class: Literal["stop", "skip"] = "stop",
        num_classes: int | None = None,
        has_labels: bool = True,
        listing: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if on_unlisted_class not in ("stop", "skip"):
            raise InputError(f'on_unlisted_class is {on_unlisted_class!r}, expected "stop" or "skip".')
        if not name and not os.path.exists(root):
            raise InputError(f"the image folder {root} does not exist; set the dataset's root to an existing folder.")
        index_of = load_class_map(class_map, root)
        self.root = root
        self._reader: Any
        if listing is not None:
            self.source = listing
            entries = read_image_list(listing, root)
            names = [label for _, label in entries]
            numbers = index_of or {label: index for index, label in enumerate(sorted(set(names), key=natural_key))}
            files = [(path, 0, 0, 0) for path, _ in entries]
            files, self.class_numbers = _select_listed(files, names, numbers, on_unlisted_class, listing)
            self._reader = _ImageFiles(root, files)
        elif name:
            self._reader = _create_reader(root, name, split, index_of, options or {})
            self.source, self.class_numbers = name, dict(getattr(self._reader, "class_to_idx", {}))
            if has_labels and not self.class_numbers:
                raise InputError(
                    f"{name} has no names of classes: the column of its labels is missing or not a ClassLabel; convert "
                    "it with class_encode_column of the package datasets, or name another one with "
                    "options={target_key: COLUMN}."
                )
        else:
            self.source, files = _list_images(root, split, index_of or {}, has_labels)
            self.class_numbers = {}
            if has_labels:
                files, self.class_numbers = _find_labels(files, index_of, on_unlisted_class, self.source)
            self._reader = _ImageFiles(self.source, files)
        self.is_numbered_by_folder = index_of is None and not name and listing is None
        check_num_classes(self.class_numbers, num_classes, self.source, self.is_numbered_by_folder)

    @staticmethod
    def use_class_list(
        cfg: DictConfig, train: DictConfig | None, test: DictConfig | None, stored: Sequence[str] | None
    ) -> None:
        """See `eva_engine.config.class_list.settle_class_list`."""
        use_class_list(cfg, train, test, stored)

    def entries(self) -> list[tuple[str, str]]:
        """Return the path, relative to `root`, and the class name of each image of a folder or list.

        Raises:
            InputError: The images are in a tar file or a named dataset.
        """
        if not isinstance(self._reader, _ImageFiles) or os.path.isfile(self.root):
            raise InputError(f"{self.source} cannot be divided; give a folder of images, or a list of them.")
        names = {index: name for name, index in self.class_numbers.items()}
        return [
            (os.path.relpath(self._reader.filename(index, absolute=True), self.root), names.get(label, ""))
            for index, (_, label, _, _) in enumerate(self._reader.samples)
        ]

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def labels(self) -> list[int]:
        """Class index of each image; empty for named datasets, which may have to read the images for it."""
        if isinstance(self._reader, _ImageFiles):
            return [sample[1] for sample in self._reader.samples]
        return []

    def __getitem__(self, index: int) -> ImageRecord:
        file_name = self._reader.filename(index, absolute=True)
        return {"file_name": str(file_name or f"image {index}"), "read": partial(self._reader.__getitem__, index)}


# Path of an image, its class index, and in a tar file the position and number of its bytes.
_File = tuple[str, int, int, int]


class _ImageFiles:
    """Images in a folder or an uncompressed tar file, with the interface of timm's readers."""

    def __init__(self, source: str, files: list[_File]) -> None:
        self._source = source
        self._is_tar = os.path.isfile(source)
        # One serialised block of memory that all workers share, instead of several objects per image.
        self.samples = DatasetFromList(files, copy=False)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[IO[bytes], int]:
        path, label, start, size = self.samples[index]
        if not self._is_tar:
            return open_regular_file(os.path.join(self._source, path)), label
        with open(self._source, "rb") as file:
            file.seek(start)
            return io.BytesIO(file.read(size)), label

    def filename(self, index: int, absolute: bool) -> str:
        path = self.samples[index][0]
        return os.path.join(self._source, path) if absolute else path


def _list_images(
    root: str, split: str | None, class_names: Mapping[str, int], has_labels: bool
) -> tuple[str, list[_File]]:
    """Return the folder of the split, or the tar file, and its images with paths relative to that split."""
    if os.path.isdir(root):
        source = os.path.join(root, find_split(root, split, class_names, has_labels)).rstrip("/") or root
        files = [(path, 0, 0, 0) for path in find_files(source)]
    else:
        source = root
        members = _read_members(root)
        paths = select_files(members, root)
        start = _wrapper(paths, class_names)
        folder = find_split(root, split, class_names, has_labels, [path.removeprefix(start) for path in paths])
        start += f"{folder}/" if folder else ""
        files = [(path.removeprefix(start), 0, *members[path]) for path in paths if path.startswith(start)]
    if not files:
        raise InputError(f"{source} has no images; check the folder, and the suffixes of its files.")
    return source, files


def _wrapper(paths: Sequence[str], class_names: Mapping[str, int]) -> str:
    """Return the folder, such as "dataset/", in which everything in a tar file often is; "" if there is none."""
    first = paths[0].split("/")[0] if paths else ""
    is_wrapper = all(path.startswith(f"{first}/") and path.count("/") > 1 for path in paths)
    if is_wrapper and split_of(first) is None and first not in class_names:
        return f"{first}/"
    return ""


def _read_members(file: str) -> dict[str, tuple[int, int]]:
    """Return the position and size of each member of a tar file, also of those in tar files inside of it."""
    members: dict[str, tuple[int, int]] = {}
    try:
        with open_regular_file(file, "tar") as content, tarfile.open(fileobj=content, mode="r:") as tar:
            for name, start, size in _walk_members(tar):
                if name in members:
                    raise InputError(f"{file} has two files {name}; write each file once.")
                members[name] = start, size
    except (tarfile.TarError, OSError) as error:
        raise InputError(
            f"{file} cannot be read as an uncompressed tar file ({error}); unpack or pack it again."
        ) from error
    return members


def _walk_members(tar: tarfile.TarFile, folder: str = "", offset: int = 0) -> Iterator[tuple[str, int, int]]:
    for info in tar:
        stem, suffix = posixpath.splitext(posixpath.join(folder, posixpath.normpath(info.name).lstrip("/")))
        start = offset + info.offset_data
        if not info.isreg() or info.issparse():
            continue
        if suffix.lower() == ".tar" and not offset:  # one tar file per class, as in ImageNet's archives
            with tarfile.open(fileobj=tar.extractfile(info), mode="r:") as inner:
                yield from _walk_members(inner, stem, start)
        else:
            yield stem + suffix, start, info.size


def _find_labels(
    files: list[_File], class_map: Mapping[str, int] | None, on_unlisted_class: str, source: str
) -> tuple[list[_File], dict[str, int]]:
    """Return the images that have a class, with its index, and the class indices by name."""
    folders = list_folders(source) if os.path.isdir(source) else []
    names, class_numbers = find_classes([file[0] for file in files], class_map, source, folders)
    return _select_listed(files, names, class_numbers, on_unlisted_class, source)


def _select_listed(
    files: list[_File], names: Sequence[str], class_numbers: dict[str, int], on_unlisted_class: str, source: str
) -> tuple[list[_File], dict[str, int]]:
    unlisted = sorted(set(names) - class_numbers.keys() - {""})
    if unlisted and on_unlisted_class == "stop":
        raise InputError(
            f"{source} has images in {join_names(unlisted)}, which the class map does not list; add the missing "
            'classes to it, or leave their images out with on_unlisted_class="skip".'
        )
    if not class_numbers:
        raise InputError(f"{source} has no images of any class in the class map; check both.")
    if unlisted:
        num_images = sum(name in unlisted for name in names)
        logger.warning("%s: left out %d images of the classes %s", source, num_images, join_names(unlisted))
    labelled = []
    for (path, _, start, size), name in zip(files, names, strict=True):
        if name in class_numbers:
            labelled.append((path, class_numbers[name], start, size))
    return labelled, class_numbers


def _create_reader(
    root: str, name: str, split: str | None, class_map: dict[str, int] | None, options: Mapping[str, Any]
) -> Any:
    arguments: dict[str, Any] = {"split": split, "class_map": class_map, **options}
    try:
        dataset = create_dataset(name, root=root, **arguments)
    # If the package that reads a named dataset is missing, timm's readers raise almost any exception.
    except (RuntimeError, ValueError, AssertionError, ImportError, NameError, AttributeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the images of {name} cannot be read ({reason}); install the package with which timm reads it, or correct "
            "the name."
        ) from error
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "reader"):
        raise InputError(
            f"{name} gives its images as a stream or without file names, so a run could not be resumed exactly; use an "
            "image folder, a tar file or hfds/NAME."
        )
    return dataset.reader
