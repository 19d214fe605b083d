"""Score many pictures: what fails is named and counted, the rest goes on, what is finished stays."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from detectron2_ext.prediction import read_image
from eva_backbone.errors import InputError

from .contact_sheet import ContactSheets, fit_to_sheet
from .predictor import LabelPredictor, Match

Report = Callable[[str], None]
JSON_FILE, CSV_FILE = "scores.jsonl", "scores.csv"
_LABEL_WIDTH = 40


@dataclass
class Summary:
    """Counts of a run; ``failures`` holds one sentence each, ``sheets`` the contact sheets."""

    num_images: int = 0
    failures: list[str] = field(default_factory=list)
    sheets: list[Path] = field(default_factory=list)


class _Picture(NamedTuple):
    path: Path
    pixels: torch.Tensor
    thumbnail: Image.Image


def score_files(
    predictor: LabelPredictor,
    paths: Sequence[Path],
    output: str | Path,
    *,
    top: int = 5,
    batch_size: int = 16,
    tell: Report = lambda text: tqdm.write(text, file=sys.stdout),
    report: Report = lambda text: tqdm.write(text, file=sys.stderr),
) -> Summary:
    """Tell the best labels of each picture as a table, in the order of ``paths``, and write them down.

    Below ``output``: contact sheets; scores.jsonl, {"image": path, "labels": [{"label", "probability", "similarity"},
    ...]} for each picture, best first; scores.csv, a row per picture and a column with the probability of each label.
    Older files of these names are replaced; an interrupted run leaves what it has finished.

    Args:
        predictor: model and labels.
        paths: picture files.
        output: folder, made where it is missing.
        top: labels told of each picture and drawn under it.
        batch_size: pictures that the model gets at once.
        tell: is handed the lines of the table.
        report: is handed each failure when it happens.

    Raises:
        InputError: ``output`` cannot be written.
    """
    summary = Summary()
    name_width = min(60, max((len(str(path)) for path in paths), default=0))
    with (
        _writer(Path(output), predictor.labels) as write,
        ContactSheets(output, len(paths), top) as sheets,
        ThreadPoolExecutor() as pool,
        tqdm(total=len(paths), unit="image") as progress,
    ):
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            # The decoders of Pillow let other threads run.
            pictures = [
                item
                for item in pool.map(lambda path: _read(predictor, path), batch)
                if _is_readable(item, summary, report)
            ]
            found = predictor(torch.stack([picture.pixels for picture in pictures])) if pictures else []
            for picture, matches in zip(pictures, found, strict=True):
                best = "  ".join(f"{_shorten(match.label)} {match.probability:.1%}" for match in matches[:top])
                tell(f"{picture.path!s:<{name_width}}  {best}")
                write(picture.path, matches)
                sheets.add(picture.path, picture.thumbnail, matches)
            summary.num_images += len(pictures)
            progress.update(len(batch))
    summary.sheets = sheets.files
    return summary


@contextmanager
def _writer(output: Path, labels: Sequence[str]) -> Iterator[Callable[[Path, Sequence[Match]], None]]:
    with ExitStack() as stack:
        try:
            output.mkdir(parents=True, exist_ok=True)
            lines = stack.enter_context(open(output / JSON_FILE, "w", encoding="utf-8", errors="replace"))
            table = stack.enter_context(open(output / CSV_FILE, "w", encoding="utf-8", errors="replace", newline=""))
        except OSError as error:
            raise InputError(f"{output} cannot be written ({error.strerror}): give another --output.") from error
        rows = csv.writer(table)
        rows.writerow(["image", "best", *labels])

        def write(path: Path, matches: Sequence[Match]) -> None:
            found = [
                {"label": m.label, "probability": _short(m.probability), "similarity": _short(m.similarity)}
                for m in matches
            ]
            # JSON has no NaN; failing here is better than a file that strict readers refuse.
            lines.write(json.dumps({"image": str(path), "labels": found}, ensure_ascii=False, allow_nan=False) + "\n")
            probabilities = [match.probability for match in sorted(matches)]
            rows.writerow([path, matches[0].label, *map(_short, probabilities)])
            lines.flush()
            table.flush()

        yield write


def _shorten(label: str) -> str:
    return label if len(label) <= _LABEL_WIDTH else f"{label[: _LABEL_WIDTH - 1]}…"


def _short(value: float) -> float:
    return round(value, 6)


def _read(predictor: LabelPredictor, path: Path) -> _Picture | str:
    """The picture, or why there is none."""
    try:
        image: np.ndarray = read_image(path)
        return _Picture(path, predictor.prepare(image), fit_to_sheet(Image.fromarray(image)))
    except InputError as error:
        return str(error) if str(path) in str(error) else f"{path}: {error}"


def _is_readable(item: _Picture | str, summary: Summary, report: Report) -> bool:
    if isinstance(item, _Picture):
        return True
    summary.failures.append(item)
    report(f"failed: {item}")
    return False
