"""The class of every pixel of an image."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from eva_engine.prediction.result import Result, import_supervision

from .drawing import add_legend, class_fractions, draw_labels

if TYPE_CHECKING:
    import supervision


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

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """Return the pixels of each class in the format of results of COCO-Stuff, as compressed run lengths.

        `category_id` is the index of the class.
        """
        import pycocotools.mask as mask_util  # of the extra for detection

        results = []
        for class_id in self.class_ids.tolist():
            rle = mask_util.encode(np.asfortranarray(self.labels == class_id).view(np.uint8))
            segmentation = {"size": list(self.labels.shape), "counts": rle["counts"].decode("ascii")}
            results.append({"image_id": image_id, "category_id": class_id, "segmentation": segmentation})
        return results

    def to_supervision(self) -> "supervision.Detections":
        """Return a detection with a decoded mask for each class that the image has, and the class names in its data.

        Raises:
            InputError: supervision is not installed.
        """
        masks = self.masks
        names = np.array([self.class_names[index] for index in self.class_ids.tolist()], dtype=str)
        return import_supervision().Detections(
            xyxy=np.array([_bounding_box(mask) for mask in masks], np.float32).reshape(-1, 4),
            mask=masks,
            class_id=self.class_ids,
            data={"class_name": names},
        )

    def _draw(self, image: np.ndarray) -> np.ndarray:
        return add_legend(draw_labels(image, self.labels), self.fractions, self.class_names)


def _bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return (x0, y0, x1, y1) around the pixels of a mask [H, W], which has some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
