"""Video classification for `predict`."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from eva_classification.prediction.predictor import format_classes, to_records
from eva_engine.atomic import atomic_path
from eva_engine.prediction import Categories, FileTask, Input
from eva_engine.prediction.file_task import print_result, with_suffix
from eva_engine.prediction.json_text import json_lines

from .filmstrip import draw_filmstrip
from .predictor import VideoPredictor, VideoViews


class VideoFileTask(FileTask[VideoViews]):
    """Print the five most likely classes of each video, and write a filmstrip `<stem>.png` and `classes.jsonl`.

    Each line of `classes.jsonl` is {"video": path, "filmstrip": path, "classes": [{"class": index, "name": ...,
    "probability": 0 to 1}, ...]}, most likely class first, with "problem" for a damaged or truncated file.

    Args:
        cfg, weights, device: See `VideoPredictor.from_config`.
        class_names: Name of each output, instead of those of the recipe.
        dtype: Type of the parameters.
    """

    kinds = ("video",)

    def __init__(
        self,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        class_names: Categories | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        names = None if class_names is None else class_names.names
        self.predictor = VideoPredictor.from_config(cfg, weights, device, names, dtype=dtype)

    def open(self, stack: ExitStack) -> None:
        """Start an empty `classes.jsonl`, replacing an existing one."""
        self.write = stack.enter_context(json_lines(self.folder / "classes.jsonl"))

    def read(self, item: Input) -> VideoViews:
        """Read the views of the recipe's evaluation."""
        return self.predictor.read(item.path)

    def predict(self, batch: Sequence[tuple[Input, VideoViews]]) -> None:
        """Classify videos by the mean over their views, and write the results."""
        for item, views in batch:
            predictions = self.predictor(views.pixels)
            note = f" (incomplete: {views.problem})" if views.problem else ""
            print_result(f"{item.path}: {format_classes(predictions)}{note}")
            filmstrip = with_suffix(self.folder / item.stem, ".png")
            with atomic_path(filmstrip) as partial:
                partial.write_bytes(draw_filmstrip(views.frames, predictions, item.path.name))
            record = {"video": str(item.path), "filmstrip": str(filmstrip), "classes": to_records(predictions)}
            if views.problem:
                record["problem"] = views.problem
            self.write(record)
