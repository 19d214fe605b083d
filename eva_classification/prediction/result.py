"""The most likely classes of an image or a video."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from eva_engine.prediction.bar_chart import add_bars
from eva_engine.prediction.result import Result


@dataclass(eq=False, repr=False, kw_only=True)
class ClassificationResult(Result):
    """The most likely classes, best first; `scores` are their probabilities.

    Attributes:
        probabilities: [K] float32, probability of every class of the model.
    """

    class_ids: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def from_probabilities(cls, probabilities: torch.Tensor, count: int, **attributes: Any) -> Self:
        """Return the `count` most likely classes of probabilities [K], or all K if there are fewer."""
        top = probabilities.topk(min(count, len(probabilities)))
        return cls(
            class_ids=top.indices.cpu().numpy(),
            scores=top.values.cpu().numpy(),
            probabilities=probabilities.cpu().numpy(),
            **attributes,
        )

    def summary(self) -> str:
        """Return the classes and their probabilities as one line, such as "cat 93.1%, dog 5.0%"."""
        named = zip(self.class_ids.tolist(), self.scores.tolist(), strict=True)
        return ", ".join(f"{self.class_names[index]} {score:.1%}" for index, score in named)

    def records(self) -> list[dict[str, Any]]:
        """Return [{"class": index, "name": ..., "probability": 0 to 1}, ...]."""
        records = []
        for index, score in zip(self.class_ids.tolist(), self.scores.tolist(), strict=True):
            records.append({"class": index, "name": self.class_names[index], "probability": round(score, 6)})
        return records

    def to_dict(self) -> dict[str, Any]:
        """Return {"image": path, "classes": ...}, see `records`."""
        return {"image": self.path, "classes": self.records()}

    def _draw(self, image: np.ndarray) -> np.ndarray:
        names = [self.class_names[index] for index in self.class_ids.tolist()]
        return add_bars(image, names, self.scores.tolist())
