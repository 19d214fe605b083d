"""Semantic segmentation of files, for the command `predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eva_engine.atomic import atomic_path
from eva_engine.data import read_rgb_image
from eva_engine.prediction import Categories, FileTask, Input
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.images import save_image, write_image
from eva_engine.prediction.json_text import to_json

from .drawing import add_legend, class_fractions, draw_labels
from .predictor import SegmentationPredictor


class SegmentationFileTask(FileTask[np.ndarray]):
    """Writes three files for every image.

    ``<stem>.jpg`` is the image with coloured classes and a legend; ``<stem>_labels.png`` contains the class indices;
    ``<stem>.json`` contains the fraction of the pixels that belongs to each class.

    Args:
        cfg, weights, device: See `SegmentationPredictor.from_config`.
        class_names: Name of each class; None for those of the recipe.
        dtype: Type of the parameters.
    """

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
        self.predictor = SegmentationPredictor.from_config(cfg, weights, device, names, dtype=dtype)

    def read(self, item: Input) -> np.ndarray:
        """Read an image [H, W, 3] uint8 RGB."""
        return read_rgb_image(item.path)

    def predict(self, batch: Sequence[tuple[Input, np.ndarray]]) -> None:
        """Segment images in the same way as the recipe's evaluation."""
        for item, image in batch:
            self._save(image, self.predictor(image), item.path, self.folder / item.stem)

    def _save(self, image: np.ndarray, labels: np.ndarray, source: Path, target: Path) -> None:
        names, fractions = self.predictor.class_names, class_fractions(labels)
        save_image(add_legend(draw_labels(image, labels), fractions, names), with_suffix(target, ".jpg"))
        write_image(Image.fromarray(labels), with_suffix(target, "_labels.png"), format="PNG")
        record = {
            "image": str(source),
            "height": image.shape[0],
            "width": image.shape[1],
            "classes": [
                {"class": index, "name": names[index], "fraction": round(fraction, 6)}
                for index, fraction in fractions.items()
            ],
        }
        with atomic_path(with_suffix(target, ".json")) as partial:
            partial.write_text(to_json(record, indent=1), encoding="utf-8")
