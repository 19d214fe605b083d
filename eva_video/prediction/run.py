"""Classify many videos: what fails is named and counted, the rest goes on, what is finished stays."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from detectron2_ext.prediction import Input
from eva_backbone.errors import InputError
from eva_classification.prediction import Guess

from .filmstrip import draw_filmstrip
from .predictor import VideoPredictor, VideoViews

Report = Callable[[str], None]
LINES = "classes.jsonl"


@dataclass
class Summary:
    """Counts of a run; ``failures`` holds one sentence each."""

    num_videos: int = 0
    failures: list[str] = field(default_factory=list)


def classify_videos(
    predictor: VideoPredictor,
    inputs: Sequence[Input],
    output: str | Path | None = None,
    tell: Report = lambda text: tqdm.write(text, file=sys.stdout),
    report: Report = lambda text: tqdm.write(text, file=sys.stderr),
) -> Summary:
    """Tell the most likely classes of each video, and write them down and draw them if asked to.

    Args:
        predictor: the model.
        inputs: video files.
        output: folder of classes.jsonl, a line per video that could be read: {"video": path, "filmstrip": picture,
            "classes": [{"class": number, "name": ..., "probability": 0 to 1}, ...]}, best first, with "problem" for a
            file that is not whole; and of a filmstrip STEM.png for each. An older classes.jsonl is replaced.
        tell: is handed a line of text for each video.
        report: is handed each failure when it happens.

    Raises:
        InputError: ``output`` cannot be written.
    """
    summary = Summary()
    with _open(output) as lines:
        for item in tqdm(inputs, unit="video"):
            try:
                views = predictor.read(item.path)
            except InputError as error:
                message = str(error) if str(item.path) in str(error) else f"{item.path}: {error}"
                summary.failures.append(message)
                report(f"failed: {message}")
                continue
            guesses = predictor(views.pixels)
            note = f" (not whole: {views.problem})" if views.problem else ""
            tell(f"{item.path}: " + ", ".join(f"{guess.name} {guess.probability:.1%}" for guess in guesses) + note)
            if lines is not None:
                picture = Path(output, f"{item.stem}.png")
                _write(picture, draw_filmstrip(views.frames, guesses, item.path.name))
                lines.write(_line(item.path, picture, guesses, views))
                lines.flush()
            summary.num_videos += 1
    return summary


def _open(output: str | Path | None) -> nullcontext | TextIO:
    if output is None:
        return nullcontext()
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
        return open(Path(output, LINES), "w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror}): give another --output.") from error


def _write(picture: Path, content: bytes) -> None:
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(content)
    except OSError as error:
        raise InputError(f"{picture} cannot be written ({error.strerror}): give another --output.") from error


def _line(path: Path, picture: Path, guesses: Sequence[Guess], views: VideoViews) -> str:
    classes = [
        {"class": guess.number, "name": guess.name, "probability": round(guess.probability, 6)} for guess in guesses
    ]
    record = {"video": str(path), "filmstrip": str(picture), "classes": classes}
    if views.problem:
        record["problem"] = views.problem
    # JSON has no NaN; failing here is better than a file that strict readers refuse.
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
