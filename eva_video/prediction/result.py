"""The most likely classes of a video."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eva_classification.prediction import ClassificationResult

from .filmstrip import draw_filmstrip


@dataclass(eq=False, repr=False, kw_only=True)
class VideoClassificationResult(ClassificationResult):
    """The most likely classes of a video, best first; `scores` are their probabilities, averaged over the views.

    Attributes:
        frames: [T, H, W, 3] uint8 RGB, frames of the first view, which `plot` shows.
        problem: What was wrong with the file although frames could be read, or None.
    """

    frames: np.ndarray
    problem: str | None = None

    def summary(self) -> str:
        """Return the classes and their probabilities as one line, with a note for an incomplete file."""
        summary = super().summary()
        if self.problem:
            summary += f" (incomplete: {self.problem})"
        return summary

    def to_dict(self) -> dict[str, Any]:
        """Return {"video": path, "classes": ...}, with "problem" for a damaged or truncated file."""
        document: dict[str, Any] = {"video": self.path, "classes": self.records()}
        if self.problem:
            document["problem"] = self.problem
        return document

    def plot(self) -> Image.Image:
        """Draw the frames of the first view above a bar chart of the classes."""
        return Image.open(io.BytesIO(self.filmstrip()), formats=["PNG"]).convert("RGB")

    def filmstrip(self) -> bytes:
        """Return the drawing of `plot` as the content of a PNG file."""
        names = [self.class_names[index] for index in self.class_ids.tolist()]
        return draw_filmstrip(self.frames, names, self.scores.tolist(), Path(self.path).name)
