"""Semantic segmentation for the verb `predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eva_engine.atomic import atomic_path
from eva_engine.prediction import Categories, FileTask, Input, read_image
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.images import save_image
from eva_engine.prediction.json_text import to_json

from .drawing import add_legend, class_shares, draw_labels
from .predictor import SegmentationPredictor


class Task(FileTask[np.ndarray]):
    """Writes three files for every picture.

    ``<stem>.jpg``: the picture in colours, with a legend; ``<stem>_labels.png``: class numbers; ``<stem>.json``: the
    share of each class.

    Args:
        cfg, weights, device: see :class:`SegmentationPredictor`.
        class_names: one per class, in place of what the recipe says.
    """

    def __init__(
        self, cfg: Any, weights: str | Path, device: str = "auto", *, class_names: Categories | None = None
    ) -> None:
        super().__init__()
        self.predictor = SegmentationPredictor(cfg, weights, device, None if class_names is None else class_names.names)

    def read(self, item: Input) -> np.ndarray:
        """A picture [H, W, 3] uint8 RGB."""
        return read_image(item.path)

    def predict(self, batch: Sequence[tuple[Input, np.ndarray]]) -> None:
        """Segment a picture as the recipe's evaluation does."""
        for item, image in batch:
            self._save(image, self.predictor(image), item.path, self.folder / item.stem)

    def _save(self, image: np.ndarray, labels: np.ndarray, source: Path, target: Path) -> None:
        names, shares = self.predictor.class_names, class_shares(labels)
        save_image(add_legend(draw_labels(image, labels), shares, names), with_suffix(target, ".jpg"))
        with atomic_path(with_suffix(target, "_labels.png")) as partial:
            Image.fromarray(labels).save(partial, format="PNG")
        record = {
            "image": str(source),
            "height": image.shape[0],
            "width": image.shape[1],
            "classes": [
                {"class": number, "name": names[number], "share": round(share, 6)} for number, share in shares.items()
            ],
        }
        with atomic_path(with_suffix(target, ".json")) as partial:
            partial.write_text(to_json(record, indent=1), encoding="utf-8")
