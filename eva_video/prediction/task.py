"""Video classification for the verb `predict`."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from eva_classification.prediction.predictor import as_records, in_words
from eva_engine.atomic import atomic_path
from eva_engine.prediction import Categories, FileTask, Input
from eva_engine.prediction.file_task import tell, with_suffix
from eva_engine.prediction.json_text import json_lines

from .filmstrip import draw_filmstrip
from .predictor import VideoPredictor, VideoViews


class Task(FileTask[VideoViews]):
    """Tells the five most likely classes of each video, draws a filmstrip ``<stem>.png``, and writes ``classes.jsonl``.

    A line of it is {"video": path, "filmstrip": picture, "classes": [{"class": number, "name": ..., "probability": 0 to
    1}, ...]}, best first, with "problem" for a file that is not whole.

    Args:
        cfg, weights, device: see :class:`VideoPredictor`.
        class_names: one per output, in place of what the recipe says.
    """

    kinds = ("video",)

    def __init__(
        self, cfg: Any, weights: str | Path, device: str = "auto", *, class_names: Categories | None = None
    ) -> None:
        super().__init__()
        self.predictor = VideoPredictor(cfg, weights, device, None if class_names is None else class_names.names)

    def open(self, stack: ExitStack) -> None:
        """Start an empty classes.jsonl; an older one is replaced."""
        self.write = stack.enter_context(json_lines(self.folder / "classes.jsonl"))

    def read(self, item: Input) -> VideoViews:
        """The views of the recipe's evaluation."""
        return self.predictor.read(item.path)

    def predict(self, batch: Sequence[tuple[Input, VideoViews]]) -> None:
        """Classify a video by the mean over its views."""
        for item, views in batch:
            guesses = self.predictor(views.pixels)
            note = f" (not whole: {views.problem})" if views.problem else ""
            tell(f"{item.path}: {in_words(guesses)}{note}")
            picture = with_suffix(self.folder / item.stem, ".png")
            with atomic_path(picture) as partial:
                partial.write_bytes(draw_filmstrip(views.frames, guesses, item.path.name))
            record = {"video": str(item.path), "filmstrip": str(picture), "classes": as_records(guesses)}
            self.write(record | ({"problem": views.problem} if views.problem else {}))
