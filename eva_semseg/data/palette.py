"""Palettes: the colour of each class in label maps that are colour images."""

import re
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.text_file import read_json, read_lines

from ..segmentation_targets import IGNORE_LABEL

Colour = tuple[int, int, int]

_FIX = "give lines such as '128 64 128 road', or a table with the columns name, r, g and b"
_UNLABELLED = ("unlabelled", "unlabeled", "void", "ignore", "ignored")


def read_palette(path: str | Path) -> tuple[tuple[str, ...], dict[Colour, int]]:
    """Return the class names and the class index of each colour; 255 for that of unlabelled pixels.

    A class is unlabelled if it is named so, or void or ignore. Several colours may have the same name.

    Args:
        path: Text file with lines "red green blue name"; labelmap.txt of CVAT, with lines "name:red,green,blue::"; CSV
            table with the columns name, r, g and b; or JSON, [{"name": "road", "color": [128, 64, 128]}, ...].

    Raises:
        InputError: The file has none of these forms, or a colour is listed twice.
    """
    if str(path).lower().endswith(".json"):
        rows = _json_rows(read_json(path, "palette", _FIX), path)
    else:
        lines = [line for line in read_lines(path, "palette", _FIX) if not line.lstrip().startswith("#")]
        rows = _table_rows(lines) or [_line_row(line, path) for line in lines]
    names: dict[str, int] = {}
    values: dict[Colour, int] = {}
    for name, colour in rows:
        if colour in values:
            raise InputError(f"{path} lists the colour {', '.join(map(str, colour))} twice; give every class its own.")
        is_class = name.casefold() not in _UNLABELLED
        values[colour] = names.setdefault(name, len(names)) if is_class else IGNORE_LABEL
    if not names:
        raise InputError(f"{path} lists no class; {_FIX}.")
    return tuple(names), values


def _line_row(line: str, path: str | Path) -> tuple[str, Colour]:
    cvat = re.fullmatch(r"([^:]+):(\d+),(\d+),(\d+):.*", line.strip())
    if cvat:
        return _row(cvat[1], cvat.groups()[1:], path)
    match = re.fullmatch(r"(\d+)[\s,;]+(\d+)[\s,;]+(\d+)[\s,;:]+(.+)", line.strip())
    if not match:
        raise InputError(f"{path}: {line[:80]!r} is not a colour and a name; {_FIX}.")
    return _row(match[4], match.groups()[:3], path)


def _table_rows(lines: list[str]) -> list[tuple[str, Colour]]:
    """Return the rows of a table with a header; none if it has no such header."""
    header = [cell.strip().strip('"').lower() for cell in lines[0].split(",")] if lines else []
    columns = {"name": ("name", "class", "label"), "r": ("r", "red"), "g": ("g", "green"), "b": ("b", "blue")}
    numbers = {}
    for key, names in columns.items():
        found = [number for number, cell in enumerate(header) if cell in names]
        if len(found) != 1:
            return []
        numbers[key] = found[0]
    rows = []
    for line in lines[1:]:
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        if len(cells) != len(header):
            raise InputError(f"the palette has a line {line[:80]!r} with {len(cells)} cells; {_FIX}.")
        rows.append(_row(cells[numbers["name"]], [cells[numbers[key]] for key in "rgb"], "the palette"))
    return rows


def _json_rows(content: Any, path: str | Path) -> list[tuple[str, Colour]]:
    rows = []
    records = content if isinstance(content, list) else [None]
    for record in records:
        name = colour = None
        if isinstance(record, dict):
            name, colour = record.get("name"), record.get("color")
        if not isinstance(colour, list) or len(colour) != 3:
            raise InputError(f"{path} is not a list of names and colours; {_FIX}.")
        rows.append(_row(name, colour, path))
    return rows


def _channel(value: Any) -> int:
    """Return a channel of a colour as a number, -1 for what is not one."""
    text = str(value)
    if text.isdecimal() and len(text) < 4:
        return int(text)
    return -1


def _row(name: Any, colour: Any, path: str | Path) -> tuple[str, Colour]:
    values = [_channel(value) for value in colour]
    if not isinstance(name, str) or not name.strip() or not all(0 <= value < 256 for value in values):
        raise InputError(
            f"{path}: {str(name)[:80]!r} with {str(list(colour))[:80]} is not a class and a colour; {_FIX}."
        )
    return name.strip(), (values[0], values[1], values[2])
