"""Classify many pictures: what fails is named and counted, the rest goes on, what is finished stays."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import torch
from tqdm import tqdm

from detectron2_ext.prediction import read_image
from eva_backbone.errors import InputError

from .predictor import ClassPredictor, Guess

Report = Callable[[str], None]


@dataclass
class Summary:
    """Counts of a run; ``failures`` holds one sentence each."""

    num_images: int = 0
    failures: list[str] = field(default_factory=list)


def classify_files(
    predictor: ClassPredictor,
    paths: Sequence[Path],
    output: str | Path | None = None,
    batch_size: int = 16,
    tell: Report = lambda text: tqdm.write(text, file=sys.stdout),
    report: Report = lambda text: tqdm.write(text, file=sys.stderr),
) -> Summary:
    """Tell the most likely classes of each picture, in the order of ``paths``, and write them down if asked to.

    Args:
        predictor: the model.
        paths: picture files.
        output: JSON lines, one per picture that could be read: {"image": path, "classes": [{"class": number, "name":
            ..., "probability": 0 to 1}, ...]}, best first. An older file is replaced; an interrupted run leaves what
            it has finished.
        batch_size: pictures that the model gets at once.
        tell: is handed a line of text for each picture.
        report: is handed each failure when it happens.

    Raises:
        InputError: ``output`` cannot be written.
    """
    summary = Summary()
    with _open(output) as lines, ThreadPoolExecutor() as pool, tqdm(total=len(paths), unit="image") as progress:
        for batch in _batches(paths, batch_size):
            # The decoders of Pillow let other threads run.
            read = [
                (path, pixels)
                for path, pixels in zip(batch, pool.map(lambda path: _read(predictor, path), batch), strict=True)
                if _is_readable(path, pixels, summary, report)
            ]
            found = predictor(torch.stack([pixels for _, pixels in read])) if read else []
            for (path, _), guesses in zip(read, found, strict=True):
                tell(f"{path}: " + ", ".join(f"{guess.name} {guess.probability:.1%}" for guess in guesses))
                if lines is not None:
                    lines.write(_line(path, guesses))
            if lines is not None:
                lines.flush()
            summary.num_images += len(read)
            progress.update(len(batch))
    return summary


def _open(output: str | Path | None) -> nullcontext | TextIO:
    if output is None:
        return nullcontext()
    try:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        return open(output, "w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror}): give another --output.") from error


def _batches(paths: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))


def _read(predictor: ClassPredictor, path: Path) -> torch.Tensor | InputError:
    try:
        return predictor.prepare(read_image(path))
    except InputError as error:
        return error


def _is_readable(path: Path, pixels: torch.Tensor | InputError, summary: Summary, report: Report) -> bool:
    if isinstance(pixels, torch.Tensor):
        return True
    message = str(pixels) if str(path) in str(pixels) else f"{path}: {pixels}"
    summary.failures.append(message)
    report(f"failed: {message}")
    return False


def _line(path: Path, guesses: Sequence[Guess]) -> str:
    classes = [
        {"class": guess.number, "name": guess.name, "probability": round(guess.probability, 6)} for guess in guesses
    ]
    # JSON has no NaN; failing here is better than a file that strict readers refuse.
    return json.dumps({"image": str(path), "classes": classes}, ensure_ascii=False, allow_nan=False) + "\n"
