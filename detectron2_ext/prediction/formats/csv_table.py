"""A table with a row for each object, for spreadsheets and pandas."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from eva_engine.prediction.categories import Categories
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.json_text import whole_records
from eva_engine.safe_text import csv_row

from ..result import DetectionResult

COLUMNS = ("image", "width", "height", "category_id", "category", "score", "x", "y", "box_width", "box_height")


@contextmanager
def open_csv(
    folder: Path,
    inputs: Sequence[Input],  # noqa: ARG001  all formats have the same arguments
    categories: Categories,  # noqa: ARG001
) -> Iterator[Callable[[Input, DetectionResult], None]]:
    """Write `detections.csv`; `x` and `y` are the top left corner of the box, in pixels. Rows appear at once."""
    with whole_records(folder / "detections.csv") as write_text:
        write_text(csv_row(COLUMNS))

        def write(item: Input, result: DetectionResult) -> None:
            height, width = result.size
            rows = []
            for record in result.records():
                values = (record["category_id"], record["category"], record["score"], *record["bbox"])
                rows.append(csv_row([str(item.path), width, height, *values]))
            write_text("".join(rows))

        yield write
