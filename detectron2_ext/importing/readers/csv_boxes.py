"""Tables with a row for each box, as DeepForest, RetinaNet, TensorFlow and `predict --save-as csv` write them."""

import math
import posixpath
from collections.abc import Iterable, Iterator, Sequence

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.table_file import find_column, read_rows
from eva_engine.safe_text import FORMULA

from ..data_files import DataFiles
from ..findings import Findings
from ..image_sizes import read_sizes
from ..imported_data import DatasetBuilder, ImageEntry, ImportedData, ImportOptions
from ..pixel_numbers import PixelNumbers

NAME = "CSV"
_SAMPLE = 20
_COLUMNS = {
    "image": ("image_path", "image", "filename", "file_name", "path", "img"),
    "class": ("label", "class", "category", "name", "class_name"),
    "id": ("category_id",),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
    "x0": ("xmin", "x_min", "x1", "left", "x"),
    "y0": ("ymin", "y_min", "y1", "top", "y"),
    "x1": ("xmax", "x_max", "x2", "right"),
    "y1": ("ymax", "y_max", "y2", "bottom"),
    "box_width": ("box_width", "w"),
    "box_height": ("box_height", "h"),
}
_WITHOUT_HEADER = ("image", "x0", "y0", "x1", "y1", "class")  # of RetinaNet


def recognise(files: DataFiles) -> str | None:
    """Return what shows that the data has this format, or None."""
    paths = _tables(files)
    return f"{', '.join(paths[:3])} with columns of boxes" if paths else None


def read(files: DataFiles, options: ImportOptions) -> ImportedData:
    """Read the tables."""
    findings = Findings()
    builder = DatasetBuilder(findings, options.renamed)
    pixels = PixelNumbers(0 if options.pixels_from is None else options.pixels_from)
    parts = files.parts_by_folder(_tables(files))
    rows = []  # all rows first, because the sizes of many images are read at once
    paths: dict[tuple[str, str], str | None] = {}
    for table, part in parts.items():
        for row in _rows(files, table, findings):
            key = table, row.get("image", "")
            if key not in paths:
                paths[key] = files.find_image(
                    row.get("image", ""), posixpath.dirname(table), row.get("image", ""), findings
                )
            path = paths[key]
            if path is not None:
                rows.append((part, path, row))
    without_size = list(dict.fromkeys(path for _, path, row in rows if not _size(row)))
    sizes = read_sizes(files.image_root, without_size, findings)
    images: dict[str, ImageEntry | None] = {}
    for part, path, row in rows:
        if path not in images:
            width, height = _size(row) or sizes.get(path, (0, 0))
            known = path in sizes or _size(row)
            images[path] = builder.add_image(part, path, width, height, path) if known else None
        image = images[path]
        if image is None or not any(row.get(key) for key in ("x0", "y0")):  # an image without objects has empty cells
            continue
        x0, y0 = _number(row["x0"]), _number(row["y0"])
        if "box_width" in row:
            corners: Sequence[float] = (x0, y0, x0 + _number(row["box_width"]), y0 + _number(row["box_height"]))
        else:
            numbers = (x0, y0, _number(row["x1"]), _number(row["y1"]))
            corners = pixels.to_corners(numbers, image.record["width"], image.record["height"], path)
        builder.add_box(image, row["class"], corners)
    findings.notes += pixels.notes()
    names = options.class_names or _numbered_names(row for _, _, row in rows)
    content = builder.finish(names)
    return ImportedData(NAME, files.source, files.image_root, content, findings, names is not None)


def _numbered_names(rows: Iterable[dict[str, str]]) -> dict[int, str] | None:
    """Return the class names by the ids of the table; None if it has none, or they contradict the names."""
    names: dict[int, str] = {}
    for row in rows:
        number = row.get("id", "")
        if not number.isdecimal() or len(number) > 9 or names.setdefault(int(number), row["class"]) != row["class"]:
            return None
    if len(set(names.values())) == len(names):
        return dict(sorted(names.items()))
    return None


def _tables(files: DataFiles) -> list[str]:
    found = []
    for path in files.with_suffix(".csv", ".tsv")[:_SAMPLE]:
        line = files.head(path).split(b"\n")[0].decode("utf-8-sig", "replace").strip()
        separator = "\t" if path.lower().endswith(".tsv") else ","
        if _column_numbers(line.split(separator)) is not None:
            found.append(path)
    return found


def _column_numbers(header: Sequence[str]) -> dict[str, int] | None:
    """Return the position of each known column, None if the table has no boxes."""
    cells = [cell.strip().strip('"') for cell in header]
    if len(cells) == len(_WITHOUT_HEADER) and all(math.isfinite(_number(cell)) for cell in cells[1:5]):
        return {key: number for number, key in enumerate(_WITHOUT_HEADER)}
    numbers = {}
    for key, names in _COLUMNS.items():
        for name in names:
            try:
                number = find_column(cells, name, "the table")
            except InputError:
                number = None
            if number is not None:
                numbers[key] = number
                break
    ends = {"x1", "y1"} <= numbers.keys() or {"box_width", "box_height"} <= numbers.keys()
    if ends and {"image", "x0", "y0", "class"} <= numbers.keys():
        return numbers
    return None


def _rows(files: DataFiles, table: str, findings: Findings) -> Iterator[dict[str, str]]:
    """Yield the cells of each row by the keys of `_COLUMNS`."""
    errors = RecordErrors(table, "skip")
    rows = read_rows(files.root / table, "table of boxes", errors)
    _, header = next(rows, ("", []))
    numbers = _column_numbers(header)
    if numbers is None:
        findings.refuse(table, "it has no columns of boxes")
        return
    if numbers["x0"] == 1 and tuple(numbers) == _WITHOUT_HEADER and math.isfinite(_number(header[1])):
        yield {key: header[number] for key, number in numbers.items()}
    for _, cells in rows:
        row = {key: cells[number].strip() for key, number in numbers.items()}
        if row["class"][:1] == "'" and row["class"][1:].startswith(FORMULA):
            row["class"] = row["class"][1:]  # it was put there for spreadsheets
        yield row
    for message in errors.messages:
        findings.count("bad_numbers", table)
        findings.notes.append(message)


def _size(row: dict[str, str]) -> tuple[int, int] | None:
    width, height = _number(row.get("width", "")), _number(row.get("height", ""))
    if 1 <= width < 2**31 and 1 <= height < 2**31:
        return int(width), int(height)
    return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
