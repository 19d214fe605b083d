"""What can be wrong with the images of any task: unreadable, turned, of another size, or several times in the data."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import NamedTuple

from .duplicates import exact_groups, near_groups
from .findings import MAX_EXAMPLES, Example, Finding, Severity
from .image_scan import ImageSource, ScannedImage, side_by_side


class _Duplicates(NamedTuple):
    """Findings about one kind of duplicates: its word, the prefix of its codes, and how serious they are."""

    word: str
    prefix: str
    across_parts: Severity
    within_part: Severity


_EQUAL = _Duplicates("equal", "", Severity.ERROR, Severity.WARNING)
_NEARLY_EQUAL = _Duplicates("nearly equal", "near-", Severity.WARNING, Severity.NOTE)
_REMOVE_FROM_ONE = "remove them from one part, otherwise the evaluation measures what the model has seen"


def check_images(scans: Mapping[str, Sequence[ScannedImage]]) -> Iterator[Finding]:
    """Yield the findings of all tasks; `scans` is {part of the data: its scanned images}."""
    for part, images in scans.items():
        yield from _check_files(part, images)
    yield from check_duplicates(scans, "image", side_by_side)


def _check_files(part: str, images: Sequence[ScannedImage]) -> Iterator[Finding]:
    unreadable = [image for image in images if image.problem]
    if unreadable:
        yield Finding(
            "unreadable-images",
            Severity.ERROR,
            f"{len(unreadable)} of {len(images)} images cannot be read",
            len(unreadable),
            "replace or remove them",
            tuple(map(unreadable_example, unreadable[:MAX_EXAMPLES])),
            part,
        )
    other_size = [image for image in images if not image.problem and image.source.size not in (None, image.size)]
    if other_size:
        turned = sum(image.source.size == image.size[::-1] and image.orientation > 4 for image in other_size)
        hint = ", or remove the orientation tag: the annotation was made without turning the image" if turned else ""
        swapped = sum(image.source.size == image.size[::-1] for image in other_size) - turned
        what = f"{len(other_size)} of {len(images)} images have another size than their annotation says"
        if swapped:
            what += f", {swapped} of them with width and height swapped"
        yield Finding(
            "other-size",
            Severity.ERROR,
            what,
            len(other_size),
            f"correct the width and height, or use the images that were annotated{hint}",
            tuple(map(_size_example, other_size[:MAX_EXAMPLES])),
            part,
        )
    tagged = [image for image in images if image.orientation not in (0, 1)]
    if tagged:
        yield Finding(
            "orientation-tags",
            Severity.NOTE,
            f"{len(tagged)} of {len(images)} images have an orientation tag and are turned when they are read",
            len(tagged),
            "check in the images below that annotations were made on the turned image",
            tuple(map(_orientation_example, tagged[:MAX_EXAMPLES])),
            part,
        )


def unreadable_example(file: ScannedImage) -> Example:
    """Return an example with the reason why a file cannot be read."""
    return Example(file.source.name, file.problem.removeprefix(f"{file.source.name}: "))


def image_example(file: str) -> Example:
    """Return an example that shows an image file."""
    return Example(file, draw=ImageSource(file).thumbnail)


def _size_example(image: ScannedImage) -> Example:
    annotated, found = image.source.size or (0, 0), image.size
    text = f"{found[0]}x{found[1]} pixels, annotated as {annotated[0]}x{annotated[1]}"
    return Example(image.source.name, text, image.source.thumbnail)


def _orientation_example(image: ScannedImage) -> Example:
    return Example(image.source.name, f"orientation {image.orientation}", image.source.thumbnail)


def check_duplicates(
    scans: Mapping[str, Sequence[ScannedImage]],
    noun: str,
    draw_pair: Callable[[ImageSource, ImageSource], Callable] | None = None,
) -> Iterator[Finding]:
    """Yield the findings about equal and nearly equal files, within a part and across parts of the data.

    Args:
        scans: {part of the data: its scanned files}.
        noun: Noun for a file, such as "image".
        draw_pair: Returns the function that draws two of them; None if they cannot be drawn.
    """
    files = []
    for part, scanned in scans.items():
        files += [(part, scan) for scan in scanned if not scan.problem]
    exact = exact_groups([scan.digest for _, scan in files])
    fingerprints = [scan.fingerprint for _, scan in files]
    for group in exact:
        for index in group[1:]:
            fingerprints[index] = None  # one of equal files is enough to find those that are nearly equal
    near = near_groups(fingerprints)
    pair = partial(_pair_example, files, draw_pair)

    def parts_of(group: Sequence[int]) -> set[str]:
        return {files[index][0] for index in group}

    def labels_of(group: Sequence[int]) -> set[str]:
        return {files[index][1].source.label for index in group}

    labels = [group for group in exact if len(labels_of(group)) > 1]
    if labels:
        yield Finding(
            "contradicting-labels",
            Severity.ERROR,
            f"{len(labels)} {noun}(s) occur with several labels",
            len(labels),
            "keep the right label of each",
            tuple(map(partial(pair, label=True), labels[:MAX_EXAMPLES])),
        )
    for groups, kind in ((exact, _EQUAL), (near, _NEARLY_EQUAL)):
        across = [group for group in groups if len(parts_of(group)) > 1]
        if across:
            yield Finding(
                f"{kind.prefix}leakage",
                kind.across_parts,
                f"{len(across)} {noun}(s) of one part of the data are {kind.word} to one of another part",
                len(across),
                _REMOVE_FROM_ONE,
                tuple(pair(_across_first(group, files)) for group in across[:MAX_EXAMPLES]),
            )
        within = [group for group in groups if group not in across]
        if within:
            num_more = sum(len(group) - 1 for group in within)
            yield Finding(
                f"{kind.prefix}duplicates",
                kind.within_part,
                f"{num_more} {noun}(s) are {kind.word} to another one in the same part of the data",
                num_more,
                "keep one of each, unless they are meant to count several times "
                f"(frames of one video are {kind.word}, too)",
                tuple(map(pair, within[:MAX_EXAMPLES])),
            )


def check_files_in_both(
    files: Sequence[Set[str]], what: str, example: Callable[[str], Example] = Example
) -> Iterator[Finding]:
    """Yield the finding about files that are in all parts of the data.

    Args:
        files: The files of each part.
        what: What they are and are used for, such as "videos are listed for training and for validation".
        example: Makes the example of a file.
    """
    shared = sorted(set.intersection(*map(set, files))) if len(files) > 1 else []
    if shared:
        yield Finding(
            "listed-in-both",
            Severity.ERROR,
            f"{len(shared)} {what}",
            len(shared),
            _REMOVE_FROM_ONE,
            tuple(map(example, shared[:MAX_EXAMPLES])),
        )


def _across_first(group: Sequence[int], files: Sequence[tuple[str, ScannedImage]]) -> list[int]:
    """Return the first file of a group and the first one that is in another part of the data."""
    first_part, _ = files[group[0]]
    return [group[0], next(index for index in group if files[index][0] != first_part)]


def _pair_example(
    files: Sequence[tuple[str, ScannedImage]],
    draw_pair: Callable[[ImageSource, ImageSource], Callable] | None,
    group: Sequence[int],
    label: bool = False,
) -> Example:
    (part, first), (other_part, second) = files[group[0]], files[group[1]]
    if label:
        second = next(files[index][1] for index in group if files[index][1].source.label != first.source.label)
        text = f"{first.source.label!r} here, {second.source.label!r} as {second.source.name}"
    else:
        text = f"like {second.source.name}"
        if part != other_part:
            text += f" ({part} and {other_part})"
    draw = None if draw_pair is None else draw_pair(first.source, second.source)
    return Example(first.source.name, text, draw)
