"""Find the files to predict on, and choose the names of their results."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.folder_files import IMAGE_SUFFIXES, is_hidden

from .addresses import address_file_name, find_address, is_http, shown_address

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
    output: str | Path,
    recursive: bool = False,
    kinds: Sequence[str] = ("image", "video"),
) -> InputList:
    """Find images and videos among files and folders, addresses and cameras.

    Args:
        paths: Files and folders, and as text also what `find_address` accepts. What is found twice is used once.
        output: Folder of the results. It is not searched, and must not contain inputs.
        recursive: Search subfolders too. The results are then in the same subfolders.
        kinds: Kinds of inputs that the task accepts.

    Raises:
        InputError: An input is in the output folder, where a result could overwrite it.
    """
    found = InputList()
    output = Path(output).resolve()
    seen: set[Path] = set()
    addresses: set[str] = set()
    stems: set[str] = set()
    for text in paths:
        address = find_address(text)
        if address:
            if address not in addresses:
                addresses.add(address)
                _add_address(address, found, kinds, stems)
            continue
        path = Path(text)
        if path.is_dir():
            if path.resolve() == output:
                raise InputError(f"{path} is the folder of both the inputs and the results; give another --output.")
            candidates = [(file, file.relative_to(path).parent) for file in _files(path, output, recursive)]
        else:
            candidates = [(path, Path())]
        for file, folder in candidates:
            kind = _kind(file)
            is_from_folder = file != path
            if is_from_folder and (kind is None or is_hidden(file.name) or not file.is_file()):
                found.num_skipped += 1
                continue
            reason = _unusable(file, kind, kinds)
            if reason or kind is None:
                found.unusable.append(f"{file}: {reason}")
                continue
            real = file.resolve()
            if real.is_relative_to(output):
                raise InputError(f"{file} is in the folder of the results, {output}; give another --output.")
            if real not in seen:
                seen.add(real)
                found.inputs.append(Input(file, kind, _free_stem(folder / file.stem, stems)))
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
            kind = _kind(path) or content_kind(address)
        except InputError as error:
            found.unusable.append(str(error))
            return
    if kind not in kinds:
        found.unusable.append(f"{name}: {_wrong_kind(kind, kinds)}")
        return
    found.inputs.append(Input(path, kind, _free_stem(Path(path.stem), stems), address))


def _files(folder: Path, output: Path, recursive: bool) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        # Changed in place, because os.walk descends into the folders that are left, in this order. The output folder
        # is left out, since it may have the results of an earlier run.
        searched = [name for name in folders if recursive and not is_hidden(name)]
        folders[:] = sorted(name for name in searched if Path(root, name).resolve() != output)
        yield from (Path(root, name) for name in sorted(names))


def _kind(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return None


def _unusable(path: Path, kind: str | None, kinds: Sequence[str]) -> str | None:
    """Return why a file cannot be used, or None if it can."""
    if not path.exists():
        return "there is no such file or folder"
    if not path.is_file():
        return "not a regular file; give an image, a video or a folder"
    if kind is None:
        return f"{path.suffix or 'no suffix'} is not a known image or video suffix"
    return _wrong_kind(kind, kinds) if kind not in kinds else None


def _wrong_kind(kind: str, kinds: Sequence[str]) -> str:
    article = "an" if kind == "image" else "a"
    return f"{article} {kind}; give {' or '.join(f'{accepted}s' for accepted in kinds)}"


def _free_stem(stem: Path, taken: set[str]) -> str:
    """Return `stem`, with a number if it is already taken, and add it to `taken`."""
    name, number = stem.as_posix(), 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem.as_posix()}_{number}"
    taken.add(name.casefold())
    return name
