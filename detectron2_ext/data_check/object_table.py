"""The objects of a dataset as arrays, for everything that is counted over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import hotcoco
import numpy as np

from detectron2_ext.data.record_table import RecordTable, SelectedRecords


@dataclass(frozen=True)
class ObjectTable:
    """Objects of dataset dicts; crowd regions are left out.

    Attributes:
        images: The dataset dicts, which may lack their annotations.
        class_names: Names of the classes.
        image: Index of the image of each object, [N] int64.
        category: Class index of each object, [N] int64.
        boxes: Boxes inside of their images, x, y, width and height in pixels, [N, 4] float64.
        num_crowd: Number of crowd regions.
    """

    images: Sequence[dict]
    class_names: tuple[str, ...]
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    num_crowd: int

    @classmethod
    def from_parts(cls, parts: Sequence[Sequence[dict]], class_names: tuple[str, ...]) -> "ObjectTable":
        """Collect the objects of several lists or tables of Detectron2's dataset dicts, with boxes of COCO's form."""
        tables = [part for part in parts if isinstance(part, RecordTable)]
        if len(tables) == len(parts):
            return cls.from_records(SelectedRecords(tables, [np.arange(len(table)) for table in tables]), class_names)
        return cls.from_dicts(list(chain.from_iterable(parts)), class_names)

    @classmethod
    def from_records(cls, records: SelectedRecords, class_names: tuple[str, ...]) -> "ObjectTable":
        """Collect the objects of records that are in tables."""
        parts = list(records.annotations())
        objects = [~part.is_crowd for part in parts]
        columns = zip(parts, objects, strict=True)
        image, category, boxes = zip(
            *((part.image[is_object], part.category[is_object], part.box[is_object]) for part, is_object in columns),
            strict=True,
        )
        return cls(
            records.without_annotations(),
            class_names,
            np.concatenate(image),
            np.concatenate(category).astype(np.int64),
            np.concatenate(boxes),
            sum(int(part.is_crowd.sum()) for part in parts),
        )

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
        if isinstance(self.images, SelectedRecords):
            return self.images.image_sizes.astype(np.int64)
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
