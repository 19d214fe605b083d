"""Read annotation files in their published formats: "path label" lines, CSV tables, and the tables of Kinetics."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_video.kinetics import kinetics_names

_KINETICS_COLUMNS = {"label", "youtube_id", "time_start", "time_end"}
_FIX_LINE = "correct the line"
# More digits than the index of any class or frame has; Python refuses to convert texts of several thousand digits.
_MAX_DIGITS = 9

# Path, label and number of frames as written in the file; None for a line without these fields.
_Fields = tuple[str, str, str | None] | None


class VideoAnnotation(NamedTuple):
    """One line of an annotation file.

    Attributes:
        path: Path of the video, relative to the data root.
        label: Class index.
        num_frames: Number of extracted frames, or None if the file does not give it.
    """

    path: str
    label: int
    num_frames: int | None


def read_class_indices(classes: Mapping[str, int] | Sequence[str] | str | None) -> dict[str, int] | None:
    """Return a mapping from class name to class index, or None if there are no names.

    Args:
        classes: Such a mapping; the names in the order of their indices; "k400", "k600", "k700" or "k722"; or the path
            of a CSV file with the columns id and name.

    Raises:
        InputError: The file cannot be read or lacks a column, or a name occurs twice.
    """
    if classes is None:
        return None
    if isinstance(classes, Mapping):
        return {str(name): int(index) for name, index in classes.items()}
    if isinstance(classes, str) and classes.endswith(".csv"):
        return _read_class_table(classes)
    names = kinetics_names(classes) if isinstance(classes, str) else [str(name) for name in classes]
    indices = {name: index for index, name in enumerate(names)}
    if len(indices) < len(names):
        raise InputError(f"the classes {', '.join(names)} contain a name twice; use each name once.")
    return indices


def read_annotations(
    path: str, class_indices: Mapping[str, int] | None, has_frame_counts: bool, on_error: str
) -> list[VideoAnnotation]:
    """Read the videos of an annotation file, in its order.

    A file whose name ends in .csv is a table with a header. Its columns are path, label and optionally num_frames; or
    those of Kinetics: label, youtube_id, time_start and time_end, with the videos in one folder per label. Lines of
    other files are a path, which may contain spaces, the number of frames if `has_frame_counts`, and a label.

    Args:
        path: The annotation file.
        class_indices: Class index of each label that is a name; labels that are numbers are used as they are.
        has_frame_counts: Whether lines have the number of frames.
        on_error: "stop" raises `InputError` at a line that cannot be used; "skip" logs it and leaves it out.

    Raises:
        InputError: The file cannot be read, has another format, or lists no video.
    """
    text = _read_text(path)
    errors = RecordErrors(path, on_error)
    rows = _table_rows(path, text) if path.endswith(".csv") else _line_rows(text, has_frame_counts)
    videos = []
    for line, fields in rows:
        if fields is None:
            errors.add(line, "is not a path and a label", _FIX_LINE)
            continue
        video_path, label, frames = fields
        class_index = _class_index(label, class_indices)
        num_frames = None if frames is None else _parse_number(frames)
        if class_index is None:
            known = "" if class_indices is None else f", which is not one of the {len(class_indices)} classes"
            errors.add(line, f"has the label {label!r}{known}", "give a class index, or set the names of the classes")
        elif frames is not None and not num_frames:  # not a number, or 0
            errors.add(line, f"has {frames!r} frames", _FIX_LINE)
        else:
            videos.append(VideoAnnotation(video_path, class_index, num_frames))
    errors.log_total()
    if not videos:
        raise InputError(f"{path} lists no video; check the file.")
    return videos


def _read_class_table(path: str) -> dict[str, int]:
    text = _read_text(path)
    try:
        return {row["name"].strip(): int(row["id"]) for row in csv.DictReader(text.splitlines())}
    except (KeyError, ValueError, AttributeError, csv.Error) as error:
        raise InputError(f"{path}: not a list of classes; give a CSV file with the columns id and name.") from error


def _line_rows(text: str, has_frame_counts: bool) -> list[tuple[str, _Fields]]:
    rows: list[tuple[str, _Fields]] = []
    num_fields = 3 if has_frame_counts else 2
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        # Split from the right, because paths may contain spaces.
        fields = line.rsplit(maxsplit=num_fields - 1)
        if len(fields) < num_fields:
            rows.append((f"line {number}", None))
        else:
            rows.append((f"line {number}", (fields[0], fields[-1], fields[1] if has_frame_counts else None)))
    return rows


def _table_rows(path: str, text: str) -> list[tuple[str, _Fields]]:
    reader = csv.DictReader(text.splitlines())
    columns = set(reader.fieldnames or ())
    is_kinetics = columns >= _KINETICS_COLUMNS
    if not is_kinetics and not columns >= {"path", "label"}:
        raise InputError(
            f"{path} has no header with the columns path and label, or {', '.join(sorted(_KINETICS_COLUMNS))}; "
            "add one, or name the file .txt if its lines are a path, a space and a label."
        )
    rows: list[tuple[str, _Fields]] = []
    try:
        for row in reader:
            rows.append((f"line {reader.line_num}", _table_fields(row, is_kinetics)))
    except csv.Error as error:
        raise InputError(
            f"{path}: not a valid CSV table after line {reader.line_num} ({error}); {_FIX_LINE}."
        ) from error
    return rows


def _table_fields(row: Mapping[str, str], is_kinetics: bool) -> _Fields:
    try:
        video = _kinetics_path(row) if is_kinetics else row["path"].strip()
        return video, row["label"].strip(), row.get("num_frames")
    except (AttributeError, TypeError, ValueError, OverflowError):  # too few columns, or times that are not numbers
        return None


def _kinetics_path(row: Mapping[str, str]) -> str:
    start, end = int(float(row["time_start"])), int(float(row["time_end"]))
    return f"{row['label'].strip()}/{row['youtube_id'].strip()}_{start:06d}_{end:06d}.mp4"


def _class_index(label: str, class_indices: Mapping[str, int] | None) -> int | None:
    number = _parse_number(label)
    if class_indices is None:
        return number
    index, highest = class_indices.get(label, number), max(class_indices.values(), default=-1)
    is_ambiguous = number not in (None, index) and number <= highest  # the index of one class and the name of another
    return None if index is None or index > highest or is_ambiguous else index


def _parse_number(text: str) -> int | None:
    """Return the non-negative integer in `text`, or None if it is something else or too long."""
    if text.isdecimal() and len(text) <= _MAX_DIGITS:
        return int(text)
    return None


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"the list {path} cannot be read ({reason}); check its path.") from error
