"""Write the result files of an evaluation; each file appears only when it is complete."""

import json
import math
from pathlib import Path
from typing import Any

from eva_engine.atomic import atomic_write
from eva_engine.safe_text import csv_row

THRESHOLD_FILE = "score_threshold.json"


def write_predictions(path: Path, results: list[dict]) -> None:
    """Write COCO's result format with one record per line, which avoids a string of the complete file in memory."""
    with atomic_write(path) as file:
        file.write(b"[")
        for index, result in enumerate(results):
            file.write(b",\n" if index else b"\n")
            file.write(json.dumps(result).encode())
        file.write(b"\n]\n")


def write_category_table(folder: Path, rows: list[dict]) -> None:
    """Write the same table as `per_category_ap.json` and `per_category_ap.csv`.

    Args:
        folder: Folder for both files.
        rows: One row per task and category: `task`, `category_id`, `category`, `num_ground_truths`, `AP` and `AP50` (in
            percent; NaN if a category has no ground truth, which becomes null in JSON and empty in CSV).
    """
    rows = [{key: _nan_to_none(value) for key, value in row.items()} for row in rows]
    with atomic_write(folder / "per_category_ap.json") as file:
        file.write(json.dumps(rows, indent=1, ensure_ascii=False).encode())
    lines = [csv_row(list(rows[0])), *(csv_row(list(row.values())) for row in rows)]
    with atomic_write(folder / "per_category_ap.csv") as file:
        file.write("".join(lines).encode())


def write_thresholds(folder: Path, record: dict[str, Any]) -> None:
    """Write the record of `threshold_record` as score_threshold.json."""
    with atomic_write(folder / THRESHOLD_FILE) as file:
        file.write(json.dumps(record, indent=1, ensure_ascii=False).encode())


def _nan_to_none(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
