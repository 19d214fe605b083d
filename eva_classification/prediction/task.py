"""Image classification for the command `predict`."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eva_engine.data import read_rgb_image
from eva_engine.prediction import Categories, FileTask, Input
from eva_engine.prediction.file_task import print_result
from eva_engine.prediction.json_text import json_lines
from eva_engine.prediction.trained_model import applies_exif_orientation

from .predictor import ClassPredictor, format_classes, to_records


class ClassificationFileTask(FileTask[Tensor]):
    """Print the five most likely classes of each image and write them to ``classes.jsonl``.

    Each line of the file is {"image": path, "classes": [{"class": index, "name": ..., "probability": 0 to 1}, ...]},
    most likely class first.

    Args:
        cfg: Recipe, see :meth:`ClassPredictor.from_config`.
        weights: Weight file of the model.
        device: "auto" or the name of a torch device.
        batch_size: Number of images per forward pass.
        class_names: Name of each output; None for the names of the recipe.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        batch_size: int = 16,
        class_names: Categories | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        names = None if class_names is None else class_names.names
        self.predictor = ClassPredictor.from_config(cfg, weights, device, names, dtype=dtype)
        self.apply_exif_orientation = applies_exif_orientation(cfg)
        self.batch_size = batch_size

    def open(self, stack: ExitStack) -> None:
        """Create classes.jsonl, replacing an older one."""
        self.write = stack.enter_context(json_lines(self.folder / "classes.jsonl"))

    def read(self, item: Input) -> Tensor:
        """Read an image and transform it to the model's input, [3, S, S]."""
        image = read_rgb_image(item.path, apply_exif_orientation=self.apply_exif_orientation)
        return self.predictor.prepare(image)

    def predict(self, batch: Sequence[tuple[Input, Tensor]]) -> None:
        """Classify a batch of images, print and write the results."""
        pixels = torch.stack([image for _, image in batch])
        for (item, _), predictions in zip(batch, self.predictor(pixels), strict=True):
            print_result(f"{item.path}: {format_classes(predictions)}")
            self.write({"image": str(item.path), "classes": to_records(predictions)})
