"""Scores in files: JSON lines, best label first, and a table with a column per label."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from eva_engine.prediction.json_text import json_lines

from .predictor import Match


@contextmanager
def score_writer(folder: Path, labels: Sequence[str]) -> Iterator[Callable[[Path, Sequence[Match]], None]]:
    """A function that adds a picture with its matches (all labels, best first) to scores.jsonl and scores.csv.

    Older files of these names are replaced; every picture is there as soon as it is written.
    """
    with (
        json_lines(folder / "scores.jsonl") as write_line,
        open(folder / "scores.csv", "w", encoding="utf-8", errors="replace", newline="") as table,
    ):
        rows = csv.writer(table)
        rows.writerow(["image", "best", *labels])

        def write(path: Path, matches: Sequence[Match]) -> None:
            found = [
                {"label": m.label, "probability": round(m.probability, 6), "similarity": round(m.similarity, 6)}
                for m in matches
            ]
            write_line({"image": str(path), "labels": found})
            rows.writerow([path, matches[0].label, *(round(match.probability, 6) for match in sorted(matches))])
            table.flush()

        yield write
