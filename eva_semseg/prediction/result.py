"""The class of every pixel of an image."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from eva_engine.prediction.result import Result

from .drawing import add_legend, class_fractions, draw_labels


@dataclass(eq=False, repr=False, kw_only=True)
class LabelMapResult(Result):
    """The class of every pixel; `class_ids` are the classes that the image has, the one of the largest area first.

    Attributes:
        labels: [H, W] uint8, class of each pixel.
    """

    labels: np.ndarray
    class_ids: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Find the classes that the image has."""
        self.class_ids = np.array(list(self.fractions), dtype=np.int64)

    @cached_property
    def fractions(self) -> dict[int, float]:
        """Fraction of the pixels of each class that the image has, the largest first."""
        return class_fractions(self.labels)

    @property
    def masks(self) -> np.ndarray:
        """[N, H, W] bool, the pixels of each class in `class_ids`."""
        return self.labels == self.class_ids[:, None, None]

    def summary(self) -> str:
        """Return the classes with their fractions of the pixels, such as "sky 61.0%, sea 39.0%"."""
        return ", ".join(f"{self.class_names[index]} {fraction:.1%}" for index, fraction in self.fractions.items())

    def records(self) -> list[dict[str, Any]]:
        """Return [{"class": index, "name": ..., "fraction": 0 to 1}, ...]."""
        records = []
        for index, fraction in self.fractions.items():
            records.append({"class": index, "name": self.class_names[index], "fraction": round(fraction, 6)})
        return records

    def to_dict(self) -> dict[str, Any]:
        """Return the image's path and size, and `classes`, see `records`."""
        height, width = self.labels.shape
        return {"image": self.path, "height": height, "width": width, "classes": self.records()}

    def _draw(self, image: np.ndarray) -> np.ndarray:
        return add_legend(draw_labels(image, self.labels), self.fractions, self.class_names)
