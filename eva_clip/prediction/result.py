"""How well each of the given texts fits an image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from eva_engine.prediction.bar_chart import add_bars
from eva_engine.prediction.result import Result


@dataclass(eq=False, repr=False, kw_only=True)
class TextScoreResult(Result):
    """The scores of all labels for an image, best first; `class_names` are the labels in the order given.

    `scores` are probabilities among the labels.

    Attributes:
        similarities: [K] float32, cosine similarity of the features of each label and the image, in the order of
            `class_ids`.
        top: Number of labels that are drawn and in `summary`.
    """

    class_ids: np.ndarray
    scores: np.ndarray
    similarities: np.ndarray
    top: int = 5

    @classmethod
    def from_similarities(
        cls, similarities: torch.Tensor, probabilities: torch.Tensor, **attributes: Any
    ) -> "TextScoreResult":
        """Sort labels by their similarities [K]; equal ones stay in the order of the labels."""
        # Not by probability: those of unlikely labels may both be rounded to 0.
        order = similarities.argsort(descending=True, stable=True)
        return cls(
            class_ids=order.cpu().numpy(),
            scores=probabilities[order].cpu().numpy(),
            similarities=similarities[order].cpu().numpy(),
            **attributes,
        )

    def summary(self) -> str:
        """Return the best labels with their probabilities, such as "a cat 93.1%, a dog 5.0%"."""
        named = zip(self.class_ids[: self.top].tolist(), self.scores.tolist(), strict=False)
        return ", ".join(f"{self.class_names[index]} {score:.1%}" for index, score in named)

    def records(self) -> list[dict[str, Any]]:
        """Return [{"label": text, "probability": 0 to 1, "similarity": -1 to 1}, ...] of all labels."""
        records = []
        for index, score, similarity in zip(
            self.class_ids.tolist(), self.scores.tolist(), self.similarities.tolist(), strict=True
        ):
            label = self.class_names[index]
            records.append({"label": label, "probability": round(score, 6), "similarity": round(similarity, 6)})
        return records

    def to_dict(self) -> dict[str, Any]:
        """Return {"image": path, "labels": ...}, see `records`."""
        return {"image": self.path, "labels": self.records()}

    def _draw(self, image: np.ndarray) -> np.ndarray:
        names = [self.class_names[index] for index in self.class_ids[: self.top].tolist()]
        return add_bars(image, names, self.scores[: self.top].tolist())
