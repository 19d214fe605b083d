"""Image classification for the verb `predict`."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eva_engine.prediction import Categories, FileTask, Input, read_image
from eva_engine.prediction.file_task import tell
from eva_engine.prediction.json_text import json_lines

from .predictor import ClassPredictor, as_records, in_words


class Task(FileTask[Tensor]):
    """Tells the five most likely classes of each picture, and writes them to ``classes.jsonl``.

    A line of it is {"image": path, "classes": [{"class": number, "name": ..., "probability": 0 to 1}, ...]}, best class
    first.

    Args:
        cfg, weights, device: see :class:`ClassPredictor`.
        batch_size: pictures that the model gets at once.
        class_names: one per output, in place of what the recipe says.
    """

    def __init__(
        self,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        batch_size: int = 16,
        class_names: Categories | None = None,
    ) -> None:
        super().__init__()
        self.predictor = ClassPredictor(cfg, weights, device, None if class_names is None else class_names.names)
        self.batch_size = batch_size

    def open(self, stack: ExitStack) -> None:
        """Start an empty classes.jsonl; an older one is replaced."""
        self.write = stack.enter_context(json_lines(self.folder / "classes.jsonl"))

    def read(self, item: Input) -> Tensor:
        """A picture as the model takes it, [3, S, S]."""
        return self.predictor.prepare(read_image(item.path))

    def predict(self, batch: Sequence[tuple[Input, Tensor]]) -> None:
        """Classify pictures in one pass of the model."""
        found = self.predictor(torch.stack([pixels for _, pixels in batch]))
        for (item, _), guesses in zip(batch, found, strict=True):
            tell(f"{item.path}: {in_words(guesses)}")
            self.write({"image": str(item.path), "classes": as_records(guesses)})
