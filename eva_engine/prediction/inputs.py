"""Which files to predict on, and the name under which each one's results are written."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eva_backbone.errors import InputError

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jp2", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"),
    *(".mpo", ".avif"),
)
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".flv"),
    *(".3gp", ".ogv"),
)


@dataclass(frozen=True)
class Input:
    """One picture or video.

    Attributes:
        path: the file as the user named it.
        kind: ``"image"`` or ``"video"``.
        stem: name of its results below the output folder, without suffix; unique in a run, also where upper and lower
            case are one.
    """

    path: Path
    kind: str
    stem: str


@dataclass
class InputList:
    """What a search for inputs found.

    Attributes:
        inputs: files to predict on, in the order of the command line; folders sorted by name.
        unusable: "path: reason" of each named path that is missing or of no known kind, and of pictures or videos where
            only the other is taken.
        num_skipped: files of other kinds that lay in the folders.
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
    """Find pictures and videos among files and folders.

    Args:
        paths: files and folders; a file met twice counts once.
        output: folder of the results. It is never searched, and may not hold an input.
        recursive: search sub-folders too; results then keep the sub-folder.
        kinds: those of :class:`Input` that are taken.

    Raises:
        InputError: an input lies in the output folder, where a result could take its place.
    """
    found = InputList()
    output = Path(output).resolve()
    seen: set[Path] = set()
    stems: set[str] = set()
    for path in map(Path, paths):
        if path.is_dir():
            if path.resolve() == output:
                raise InputError(f"{path} is the folder of the inputs and of the results: give another --output.")
            candidates = [(file, file.relative_to(path).parent) for file in _files(path, output, recursive)]
        else:
            candidates = [(path, Path())]
        for file, folder in candidates:
            kind = _kind(file)
            if path != file and (kind is None or not file.is_file()):
                found.num_skipped += 1
                continue
            reason = _unusable(file, kind, kinds)
            if reason or kind is None:
                found.unusable.append(f"{file}: {reason}")
                continue
            real = file.resolve()
            if real.is_relative_to(output):
                raise InputError(f"{file} lies in the folder of the results, {output}: give another --output.")
            if real not in seen:
                seen.add(real)
                found.inputs.append(Input(file, kind, _free_stem(folder / file.stem, stems)))
    return found


def _files(folder: Path, output: Path, recursive: bool) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        # Sorted in place: os.walk descends in this order, and the results of an earlier run are no inputs.
        folders[:] = sorted(name for name in folders if recursive and Path(root, name).resolve() != output)
        yield from (Path(root, name) for name in sorted(names))


def _kind(path: Path) -> str | None:
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _unusable(path: Path, kind: str | None, kinds: Sequence[str]) -> str | None:
    if not path.exists():
        return "there is no such file or folder"
    if not path.is_file():
        return "not a regular file; give an image, a video or a folder"
    if kind is None:
        return f"{path.suffix or 'no suffix'} is not a known image or video suffix"
    if kind not in kinds:
        article = "an" if kind == "image" else "a"
        return f"{article} {kind}; give {' or '.join(f'{taken}s' for taken in kinds)}"
    return None


def _free_stem(stem: Path, taken: set[str]) -> str:
    name, number = stem.as_posix(), 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem.as_posix()}_{number}"
    taken.add(name.casefold())
    return name
