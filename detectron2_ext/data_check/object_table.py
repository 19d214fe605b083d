"""The objects of a dataset as arrays, for everything that is counted over all of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import hotcoco
import numpy as np


@dataclass(frozen=True)
class ObjectTable:
    """Objects of dataset dicts; crowd regions are left out.

    Attributes:
        images: The dataset dicts.
        class_names: Names of the classes.
        image: Index of the image of each object, [N] int64.
        category: Class index of each object, [N] int64.
        boxes: Boxes inside of their images, x, y, width and height in pixels, [N, 4] float64.
        num_crowd: Number of crowd regions.
    """

    images: list[dict]
    class_names: tuple[str, ...]
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    num_crowd: int

    @classmethod
    def from_dicts(cls, dicts: list[dict], class_names: tuple[str, ...]) -> "ObjectTable":
        """Collect the objects of Detectron2's dataset dicts, whose boxes are [x, y, width, height]."""
        image, category, boxes = [], [], []
        num_crowd = 0
        for index, record in enumerate(dicts):
            for annotation in record["annotations"]:
                if annotation.get("iscrowd"):
                    num_crowd += 1
                    continue
                image.append(index)
                category.append(annotation["category_id"])
                boxes.append(annotation["bbox"])
        return cls(
            dicts,
            class_names,
            np.array(image, dtype=np.int64),
            np.array(category, dtype=np.int64),
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            num_crowd,
        )

    @cached_property
    def per_image(self) -> np.ndarray:
        """Number of objects of each image, [number of images]."""
        return np.bincount(self.image, minlength=len(self.images))

    @cached_property
    def sizes(self) -> np.ndarray:
        """Width and height of each image in pixels, [number of images, 2]."""
        sizes = [(record["width"], record["height"]) for record in self.images]
        return np.array(sizes, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def coco(self) -> Any:
        """The objects as `hotcoco.COCO`; all ids count from 1, in the order of this table."""
        images = [
            {"id": number, "file_name": record["file_name"], "width": record["width"], "height": record["height"]}
            for number, record in enumerate(self.images, start=1)
        ]
        categories = [{"id": number, "name": name} for number, name in enumerate(self.class_names, start=1)]
        return hotcoco.COCO.from_arrays(images, categories, self.image + 1, self.category + 1, self.boxes)
