"""Lists of videos as they are published: "path label" lines, tables with a header, Kinetics' own tables."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eva_backbone.errors import InputError
from eva_engine.data.record_errors import RecordErrors
from eva_video.kinetics import kinetics_names

_KINETICS_COLUMNS = {"label", "youtube_id", "time_start", "time_end"}
_MEND = "correct the line"
_MAX_DIGITS = 9

# Path, label and number of frames as they are written; None for a line that has them not.
_Fields = tuple[str, str, str | None] | None


class ListedVideo(NamedTuple):
    """A line of a list: path below the data root, class, and frames of an extracted video where the list says."""

    path: str
    label: int
    num_frames: int | None


def read_class_numbers(classes: Mapping[str, int] | Sequence[str] | str | None) -> dict[str, int] | None:
    """From class name to number.

    Args:
        classes: the numbers themselves; the names in the order of their numbers; "k400", "k600", "k700" or "k722"; or a
            CSV file with the columns id and name.

    Raises:
        InputError: a file that cannot be read or lacks a column, or a list with a name twice.
    """
    if classes is None:
        return None
    if isinstance(classes, Mapping):
        return {str(name): int(number) for name, number in classes.items()}
    if not isinstance(classes, str) or not classes.endswith(".csv"):
        names = kinetics_names(classes) if isinstance(classes, str) else [str(name) for name in classes]
        numbers = {name: number for number, name in enumerate(names)}
        if len(numbers) < len(names):
            raise InputError(f"the classes {', '.join(names)} have a name twice; give each its own.")
        return numbers
    text = _read_text(classes)
    try:
        return {row["name"].strip(): int(row["id"]) for row in csv.DictReader(text.splitlines())}
    except (KeyError, ValueError, AttributeError, csv.Error) as error:
        raise InputError(f"{classes}: no list of classes; give a CSV file with the columns id and name.") from error


def read_list(
    path: str, class_numbers: Mapping[str, int] | None, has_frame_counts: bool, on_error: str
) -> list[ListedVideo]:
    """The videos of a list, in its order.

    A file whose name ends in .csv has a header: path and label, and possibly num_frames; or Kinetics' columns label,
    youtube_id, time_start and time_end, whose videos lie in a folder for each label. Other files have lines of a path,
    which may have blanks in it, the number of frames if `has_frame_counts`, and a label.

    Args:
        class_numbers: for labels that are names; numbers are always taken as they are.
        on_error: "stop" or "skip": what happens at a line that cannot be used.

    Raises:
        InputError: no such list, a list of another form, or without a video.
    """
    text = _read_text(path)
    errors = RecordErrors(path, on_error)
    is_table = path.endswith(".csv")
    rows = _table_rows(path, text) if is_table else _line_rows(text, has_frame_counts)
    videos = []
    for name, fields in rows:
        if fields is None:
            errors.add(name, "is not a path and a label", _MEND)
            continue
        video_path, label, frames = fields
        number = _label_number(label, class_numbers)
        if number is None:
            errors.add(name, f"has the label {label!r}", "give a class number, or the names of the classes")
        elif frames is not None and not _whole_number(frames):
            errors.add(name, f"has {frames!r} frames", _MEND)
        else:
            videos.append(ListedVideo(video_path, number, None if frames is None else _whole_number(frames)))
    errors.log_total()
    if not videos:
        raise InputError(f"{path}: lists no video; check the file.")
    return videos


def _line_rows(text: str, has_frame_counts: bool) -> list[tuple[str, _Fields]]:
    rows: list[tuple[str, _Fields]] = []
    num_fields = 3 if has_frame_counts else 2
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
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
            f"{path}: has no header with the columns path and label, or {', '.join(sorted(_KINETICS_COLUMNS))}; "
            "add one, or name the file .txt if its lines are a path, a blank and a label."
        )
    rows: list[tuple[str, _Fields]] = []
    try:
        for row in reader:
            rows.append((f"line {reader.line_num}", _table_fields(row, is_kinetics)))
    except csv.Error as error:
        raise InputError(f"{path}: what follows line {reader.line_num} is no table ({error}); {_MEND}.") from error
    return rows


def _table_fields(row: Mapping[str, str], is_kinetics: bool) -> _Fields:
    try:
        video = _kinetics_path(row) if is_kinetics else row["path"].strip()
        return video, row["label"].strip(), row.get("num_frames")
    except (AttributeError, TypeError, ValueError, OverflowError):  # too few columns, or times that are no numbers
        return None


def _kinetics_path(row: Mapping[str, str]) -> str:
    start, end = int(float(row["time_start"])), int(float(row["time_end"]))
    return f"{row['label'].strip()}/{row['youtube_id'].strip()}_{start:06d}_{end:06d}.mp4"


def _label_number(label: str, class_numbers: Mapping[str, int] | None) -> int | None:
    number = _whole_number(label)
    return number if number is not None or class_numbers is None else class_numbers.get(label)


def _whole_number(text: str) -> int | None:
    """None for what is none, or has more digits than any count or class."""
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else None


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"the list {path} cannot be read ({reason}); check its path.") from error
