"""The files of a dataset: found once, below the folder that the user gave and nowhere else."""

import os
import posixpath
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.folder_files import IMAGE_SUFFIXES, is_hidden, natural_key, walk_folders
from eva_engine.data.split_names import split_of

from .findings import Findings

HEAD_BYTES = 4096


class DataFiles:
    """Annotation files and images of one dataset.

    Paths are relative, with forward slashes. Those of annotations start at `root`, those of images at `image_root`.

    Args:
        source: Folder of the dataset, or its annotation file.
        images: Folder of the images; by default that of the dataset.

    Raises:
        InputError: `source` does not exist, or `images` is not a folder.

    Attributes:
        source: The folder or file.
        root: The folder, or that of the file.
        given_file: Name of the file if one was given, else None.
        image_root: Folder of the images.
    """

    def __init__(self, source: str | Path, images: str | Path | None = None) -> None:
        self.source = Path(source)
        if not self.source.exists():
            raise InputError(f"{source}: no such file or folder; give the folder or the annotation file of the data.")
        if images is not None and not Path(images).is_dir():
            raise InputError(f"{images} is not a folder; give the folder that holds the images.")
        self.given_file = None if self.source.is_dir() else self.source.name
        self.root = self.source if self.given_file is None else self.source.parent
        self.image_root = self.root if images is None else Path(images)
        self.has_own_images = images is None

    @cached_property
    def paths(self) -> list[str]:
        """All files below `root` that are not hidden, in natural order; only the given file if there is one."""
        if self.given_file is not None:
            return [self.given_file]
        return _list_files(self.root)

    @cached_property
    def images(self) -> list[str]:
        """All images below `image_root`, in natural order."""
        own = self.has_own_images and self.given_file is None
        paths = self.paths if own else _list_files(self.image_root)
        return [path for path in paths if posixpath.splitext(path)[1].lower() in IMAGE_SUFFIXES]

    @cached_property
    def image_set(self) -> frozenset[str]:
        """The paths of all images."""
        return frozenset(self.images)

    @cached_property
    def _images_by_name(self) -> dict[str, list[str]]:
        return _grouped(self.images, posixpath.basename)

    @cached_property
    def _images_by_stem(self) -> dict[str, list[str]]:
        return _grouped(self.images, lambda path: posixpath.splitext(posixpath.basename(path))[0])

    def with_suffix(self, *suffixes: str) -> list[str]:
        """Return the paths of all files with one of these suffixes, such as ".xml"."""
        return [path for path in self.paths if path.lower().endswith(suffixes)]

    def head(self, path: str) -> bytes:
        """Return the first and last bytes of a file; nothing if it cannot be read."""
        try:
            if not (self.root / path).is_file():  # a pipe could block
                return b""
            with open(self.root / path, "rb") as file:
                start = file.read(HEAD_BYTES)
                size = file.seek(0, os.SEEK_END)
                file.seek(max(HEAD_BYTES, size - HEAD_BYTES) if size > HEAD_BYTES else size)
                return start + file.read(HEAD_BYTES)
        except OSError:
            return b""

    def find_image(self, name: str, near: str, annotation: str, findings: Findings) -> str | None:
        """Return the path of the image that an annotation names; None, with the reason in `findings`, if there is none.

        A path that leads elsewhere, as from the machine on which the data was labelled, is never opened: an image of
        the same name below `image_root` is taken instead, if there is exactly one.

        Args:
            name: Name or path as the annotation gives it.
            near: Folder of the annotation file, in which the image is searched first.
            annotation: The annotation file, for messages.
            findings: Where the result is recorded.
        """
        name = name.strip().replace("\\", "/")
        base = posixpath.basename(name)
        candidates = [posixpath.normpath(posixpath.join(near, name)), posixpath.normpath(name)]
        for path in candidates:
            if path in self.image_set:
                return path
        for named in self.images_named(base):
            close = [path for path in named if posixpath.dirname(path) == near] or named
            if len(close) == 1:
                findings.count("other_path", annotation)
                return close[0]
            if close:
                findings.refuse(annotation, f"names the image {name!r}, and there are {len(close)} of this name")
                return None
        findings.refuse(annotation, f"names the image {name!r}, which is not in {self.image_root}")
        return None

    def images_named(self, name: str) -> tuple[list[str], list[str]]:
        """Return the paths of the images with this name, without a folder, and of those with the same stem."""
        stem, suffix = posixpath.splitext(name)
        stem = stem if suffix.lower() in IMAGE_SUFFIXES else name
        return self._images_by_name.get(name, []), self._images_by_stem.get(stem, [])

    def parts_by_folder(self, paths: list[str]) -> dict[str, str]:
        """Return "train", "val" or "test" for each path by the names of its folders, or "all" for all of them."""
        parts = {path: next(filter(None, map(split_of, path.split("/")[:-1])), None) for path in paths}
        found = set(parts.values())
        if "train" in found and len(found) > 1:
            return {path: part for path, part in parts.items() if part in ("train", "val", "test")}
        return dict.fromkeys(paths, "all")


def _list_files(root: Path) -> list[str]:
    found = []
    for folder, names in walk_folders(str(root), []):
        found += [posixpath.join(folder.replace(os.sep, "/"), name) for name in names if not is_hidden(name)]
    return sorted(found, key=natural_key)


def _grouped(paths: list[str], key_of: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        groups[key_of(path)].append(path)
    return groups
