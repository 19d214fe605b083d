"""Read annotation files in their published formats: "path label" lines, CSV tables, and the tables of Kinetics."""

import csv
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.table_file import find_column, read_rows
from eva_engine.prediction.categories import check_class_map
from eva_engine.text_file import open_text, read_json
from eva_video.kinetics import kinetics_names

logger = logging.getLogger(__name__)

_KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_FIX_LINE = "correct the line"
_FIX_LIST = "check its path, and give one video per line as UTF-8 text"
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
    if isinstance(classes, str) and classes.endswith(".csv"):
        return _read_class_table(classes)
    return check_class_map(kinetics_names(classes) if isinstance(classes, str) else classes, "the option classes")


def read_annotations(
    path: str, class_indices: Mapping[str, int] | None, has_frame_counts: bool, on_error: str
) -> list[VideoAnnotation]:
    """Read the videos of an annotation file, in its order.

    A file whose name ends in .csv is a table with a header. Its columns are path, label and optionally num_frames; or
    those of Kinetics: label, youtube_id, time_start and time_end, with the videos in one folder per label. A .csv file
    without a header has lines "path,label"; or "id;label", as that of Something-Something V1, with a folder of frames
    for each id. A .json file is the list of Something-Something V2, with the videos id.webm. Lines of other files, and
    of a .csv file without commas and semicolons, are a path, which may contain spaces, the number of frames if
    `has_frame_counts`, and a label.

    Args:
        path: The annotation file.
        class_indices: Class index of each label that is a name; labels that are numbers are used as they are.
        has_frame_counts: Whether lines have the number of frames.
        on_error: "stop" raises `InputError` at a line that cannot be used; "skip" logs it and leaves it out.

    Raises:
        InputError: The file cannot be read, has another format, or lists no video.
    """
    errors = RecordErrors(path, on_error)
    rows = _rows(path, has_frame_counts, errors)
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
    counts = Counter(video.path for video in videos)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        logger.warning(
            "%s: %d video(s) are listed several times, and used as often, such as %s.", path, len(repeated), repeated[0]
        )
    return videos


def read_label_texts(path: str, has_frame_counts: bool = False) -> list[tuple[str, str, str | None]]:
    """Return the path, label and number of frames of each line as they are written; see `read_annotations`.

    Raises:
        InputError: The file cannot be read, or a line is not a path and a label.
    """
    errors = RecordErrors(path, "stop")
    videos = []
    for line, fields in _rows(path, has_frame_counts, errors):
        if fields is None:
            errors.add(line, "is not a path and a label", _FIX_LINE)
        else:
            videos.append(fields)
    if not videos:
        raise InputError(f"{path} lists no video; check the file.")
    return videos


def _rows(path: str, has_frame_counts: bool, errors: RecordErrors) -> Iterator[tuple[str, _Fields]]:
    if path.lower().endswith(".json"):
        return _something_rows(path)
    if not path.lower().endswith(".csv"):
        return _line_rows(path, has_frame_counts)
    with open_text(path, "list of videos", _FIX_LIST) as lines:
        first = lines.readline().strip()
    columns = {cell.strip().strip('"').lower() for cell in first.split(",")}
    if "label" in columns or not first:
        return _table_rows(path, errors)
    separator = next((letter for letter in ";," if letter in first), None)
    if separator is None:
        return _line_rows(path, has_frame_counts)
    return _separated_rows(path, separator)


def _separated_rows(path: str, separator: str) -> Iterator[tuple[str, _Fields]]:
    """Yield the lines of a file without a header; the label of Something-Something V1 may contain commas."""
    with open_text(path, "list of videos", _FIX_LIST) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                if separator == ",":
                    video, *rest = next(csv.reader([line.strip()]))
                    label = ",".join(rest)
                else:
                    video, _, label = line.strip().partition(separator)
                fields = video.strip(), label.strip()
                if all(fields):
                    yield f"line {number}", (*fields, None)
                else:
                    yield f"line {number}", None


def _something_rows(path: str) -> Iterator[tuple[str, _Fields]]:
    """Yield the videos of Something-Something V2; a template such as "Moving [something] up" is the class."""
    content = read_json(path, "list of videos", _FIX_LIST)
    records = content if isinstance(content, list) else [None]
    for number, record in enumerate(records, start=1):
        video = template = None
        if isinstance(record, dict):
            video, template = record.get("id"), record.get("template")
        if isinstance(video, str) and isinstance(template, str) and video and template:
            label = template.replace("[", "").replace("]", "")
            yield f"entry {number}", (f"{video}.webm", label, None)
        else:
            yield f"entry {number}", None


def _read_class_table(path: str) -> dict[str, int]:
    rows = read_rows(path, "list of classes", RecordErrors(path, "stop"))
    _, columns = next(rows, ("", []))
    name, number = (find_column(columns, column, path) for column in ("name", "id"))
    indices: dict[str, int] = {}
    for line, cells in rows:
        class_index = None
        if name is not None and number is not None:
            class_index = _parse_number(cells[number].strip())
        if name is None or class_index is None or indices.setdefault(cells[name].strip(), class_index) != class_index:
            raise InputError(
                f"{path}: {line} is not a class of its own; give a CSV file with the columns id, a number, and name."
            )
    return indices


def _line_rows(path: str, has_frame_counts: bool) -> Iterator[tuple[str, _Fields]]:
    num_fields = 3 if has_frame_counts else 2
    with open_text(path, "list of videos", _FIX_LIST) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            # Split from the right, because paths may contain spaces.
            fields = line.rsplit(maxsplit=num_fields - 1)
            if len(fields) < num_fields or fields[0].endswith(","):
                yield f"line {number}", None
                continue
            frame_count = fields[1] if has_frame_counts else None
            yield f"line {number}", (fields[0], fields[-1], frame_count)


def _table_rows(path: str, errors: RecordErrors) -> Iterator[tuple[str, _Fields]]:
    rows = read_rows(path, "list of videos", errors)
    _, columns = next(rows, ("", []))
    numbers = {name: find_column(columns, name, path) for name in (*_KINETICS_COLUMNS, "path", "num_frames")}
    is_kinetics = all(numbers[name] is not None for name in _KINETICS_COLUMNS)
    if not is_kinetics and (numbers["path"] is None or numbers["label"] is None):
        raise InputError(
            f"{path} has no header with the columns path and label, or {', '.join(sorted(_KINETICS_COLUMNS))}; "
            "add one, or name the file .txt if its lines are a path, a space and a label."
        )
    for line, cells in rows:
        yield line, _table_fields({name: cells[n] for name, n in numbers.items() if n is not None}, is_kinetics)


def _table_fields(row: Mapping[str, str], is_kinetics: bool) -> _Fields:
    try:
        video = _kinetics_path(row) if is_kinetics else row["path"].strip()
    except (ValueError, OverflowError):  # times that are not numbers
        return None
    if not video:
        return None
    return video, row["label"].strip(), row.get("num_frames")


def _kinetics_path(row: Mapping[str, str]) -> str:
    start, end = int(float(row["time_start"])), int(float(row["time_end"]))
    return f"{row['label'].strip()}/{row['youtube_id'].strip()}_{start:06d}_{end:06d}.mp4"


def _class_index(label: str, class_indices: Mapping[str, int] | None) -> int | None:
    number = _parse_number(label)
    if class_indices is None:
        return number
    index, highest = class_indices.get(label, number), max(class_indices.values(), default=-1)
    if index is None or index > highest:
        return None
    if number not in (None, index) and number <= highest:  # the index of one class and the name of another
        return None
    return index


def _parse_number(text: str) -> int | None:
    """Return the non-negative integer in `text`, or None if it is something else or too long."""
    if text.isdecimal() and len(text) <= _MAX_DIGITS:
        return int(text)
    return None
