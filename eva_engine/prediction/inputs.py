"""Find the files to predict on, and choose the names of their results."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.folder_files import IMAGE_SUFFIXES, is_hidden_name

from .addresses import address_file_name, find_address, is_http, shown_address, unsupported_address

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".flv"),
    *(".3gp", ".ogv"),
)


@dataclass(frozen=True)
class Input:
    """An image or a video.

    Attributes:
        path: File as the user named it; of an address, only a file name that is made from it.
        kind: "image" or "video".
        stem: Path of its results below the output folder, without suffix. It is unique in a run, even on file systems
            that ignore case.
        address: Address of a file or stream, or device of a camera; "" for a file. It may contain a password.
    """

    path: Path
    kind: str
    stem: str
    address: str = ""

    @property
    def name(self) -> str:
        """The path, or the address without user name and password, for messages and results."""
        return shown_address(self.address) if self.address else str(self.path)


@dataclass
class InputList:
    """Result of a search for inputs.

    Attributes:
        inputs: Files to predict on, in the order of the command line; those of a folder are sorted by name.
        unusable: "path: reason" for each named path that does not exist or is not an image or video, and for images or
            videos that the task does not accept.
        num_skipped: Number of other files in the folders.
    """

    inputs: list[Input] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    num_skipped: int = 0


def list_inputs(
    paths: Sequence[str | Path],
    output: str | Path | None,
    recursive: bool = False,
    kinds: Sequence[str] = ("image", "video"),
) -> InputList:
    """Find images and videos among files and folders, addresses and cameras.

    Folders of several hundred thousand files take seconds: their files are not opened, and only links are resolved.

    Args:
        paths: Files and folders, and as text also what `find_address` accepts. What is found twice is used once.
        output: Folder of the results, if there will be any. It is not searched, and must not contain inputs.
        recursive: Search subfolders too. The results are then in the same subfolders.
        kinds: Kinds of inputs that the task accepts.

    Raises:
        InputError: An input is in the output folder, where a result could overwrite it.
    """
    found = InputList()
    real_output = None if output is None else os.path.realpath(output)
    seen: set[str] = set()
    stems: set[str] = set()

    # Paths are texts as long as possible, because parsing them is what takes time in a large folder.
    def add(file: str, kind: str, real_path: str, folder: str) -> None:
        if real_output is not None and f"{real_path}{os.sep}".startswith(f"{real_output}{os.sep}"):
            raise InputError(f"{Path(file)} is in the folder of the results, {real_output}; give another --output.")
        if real_path not in seen:
            seen.add(real_path)
            stem = os.path.splitext(os.path.basename(file))[0]
            found.inputs.append(Input(Path(file), kind, _free_stem(os.path.join(folder, stem), stems)))

    for text in paths:
        address = find_address(text)
        if address:
            if address not in seen:
                seen.add(address)
                _add_address(address, found, kinds, stems)
            continue
        unsupported = unsupported_address(text)
        if unsupported:
            found.unusable.append(unsupported)
            continue
        path = Path(text)
        if not path.is_dir():
            kind = _kind(path.name)
            reason = _unusable_file(path, kind) or _unusable_kind(kind, kinds)
            if reason or kind is None:
                found.unusable.append(f"{path}: {reason}")
            else:
                add(str(path), kind, os.path.realpath(path), "")
            continue
        if os.path.realpath(path) == real_output:
            raise InputError(f"{path} is the folder of both the inputs and the results; give another --output.")
        for entry, real_folder in _entries(path, real_output, recursive, found.unusable):
            kind = _kind(entry.name)
            if kind is None or is_hidden_name(entry.name) or not entry.is_file():
                found.num_skipped += 1
                continue
            reason = _unusable_kind(kind, kinds)
            if reason:
                found.unusable.append(f"{Path(entry.path)}: {reason}")
                continue
            is_link = entry.is_symlink()
            real_path = os.path.realpath(entry.path) if is_link else os.path.join(real_folder, entry.name)
            folder = os.path.relpath(os.path.dirname(entry.path), path) if recursive else "."
            add(entry.path, kind, real_path, "" if folder == "." else folder)
    return found


def _add_address(address: str, found: InputList, kinds: Sequence[str], stems: set[str]) -> None:
    from .http_reader import content_kind  # which imports much that files do not need

    try:
        path, name = Path(address_file_name(address)), shown_address(address)
    except ValueError as error:
        found.unusable.append(f"{address}: not a valid address ({error})")
        return
    kind = "video"
    if is_http(address):
        try:
            kind = _kind(path.name) or content_kind(address)
        except InputError as error:
            found.unusable.append(str(error))
            return
    reason = _unusable_kind(kind, kinds)
    if reason:
        found.unusable.append(f"{name}: {reason}")
        return
    found.inputs.append(Input(path, kind, _free_stem(path.stem, stems), address))


def _entries(
    folder: str | Path, real_output: str | None, recursive: bool, problems: list[str]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield the entries of a folder that are not folders, by name, then those of its subfolders.

    Args:
        folder: The folder.
        real_output: Folder of the results, without links. It is left out, since it may have the results of an earlier
            run.
        recursive: Whether subfolders are searched. Those that are hidden or links are not.
        problems: List to which a folder that cannot be listed is added.

    Yields:
        Each entry with the path of its folder without links.
    """
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{folder}: the folder cannot be listed ({error.strerror or error})")
        return
    real_folder = os.path.realpath(folder)
    subfolders: list[str] = []
    for entry in entries:
        if not entry.is_dir():
            yield entry, real_folder
        elif recursive and not entry.is_symlink() and not is_hidden_name(entry.name):
            subfolders.append(entry.path)
    for subfolder in subfolders:
        if os.path.realpath(subfolder) != real_output:
            yield from _entries(subfolder, real_output, recursive, problems)


def _kind(name: str) -> str | None:
    suffix = os.path.splitext(name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return None


def _unusable_file(path: Path, kind: str | None) -> str | None:
    """Return why a file that was named cannot be used, or None if it can."""
    if not path.exists():
        return "there is no such file or folder"
    if not path.is_file():
        return "not a regular file; give an image, a video or a folder"
    if kind is None:
        return f"{path.suffix or 'no suffix'} is not a known image or video suffix"
    return None


def _unusable_kind(kind: str | None, kinds: Sequence[str]) -> str | None:
    """Return why a task cannot use files of a kind, or None if it can."""
    if kind in kinds:
        return None
    article = "an" if kind == "image" else "a"
    return f"{article} {kind}; give {' or '.join(f'{accepted}s' for accepted in kinds)}"


def _free_stem(stem: str, taken: set[str]) -> str:
    """Return `stem` with forward slashes, and a number if it is already taken, and add it to `taken`."""
    stem = stem.replace(os.sep, "/")
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(name.casefold())
    return name
