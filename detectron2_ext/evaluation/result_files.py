"""What an evaluation leaves in its output folder; each file is there whole or not at all."""

import csv
import io
import json
import math
from pathlib import Path

from eva_engine.atomic import atomic_write


def write_predictions(path: Path, results: list[dict]) -> None:
    """Writes COCO's result format, one record per line: a single string of a large data set would fill the memory."""
    with atomic_write(path) as file:
        file.write(b"[")
        for position, result in enumerate(results):
            file.write(b",\n" if position else b"\n")
            file.write(json.dumps(result).encode())
        file.write(b"\n]\n")


def write_category_table(folder: Path, rows: list[dict]) -> None:
    """Writes `per_category_ap.json` and the same as `per_category_ap.csv`.

    Args:
        rows: one per task and category: `task`, `category_id`, `category`, `num_ground_truths`, `AP`, `AP50` (percent;
            NaN where a category has no ground truth, which is null in JSON and empty in CSV).
    """
    rows = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
    with atomic_write(folder / "per_category_ap.json") as file:
        file.write(json.dumps(rows, indent=1, ensure_ascii=False).encode())
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(folder / "per_category_ap.csv") as file:
        file.write(text.getvalue().encode())
