"""The objects as images, in a folder for each class."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from eva_engine.prediction.categories import Categories
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.images import save_image
from eva_engine.prediction.inputs import Input

from ..result import DetectionResult
from .file_names import folder_names


@contextmanager
def open_crops(
    folder: Path,
    inputs: Sequence[Input],  # noqa: ARG001  all formats have the same arguments
    categories: Categories,
) -> Iterator[Callable[[Input, DetectionResult], None]]:
    """Write `crops/<class>/<stem>_<number>.jpg`, the box of each object; the best one of an image has number 1."""
    folders = folder_names(categories.names)

    def write(item: Input, result: DetectionResult) -> None:
        assert result.image is not None, "crops need results that keep their image"
        height, width = result.size
        for index, class_id in enumerate(result.class_ids.tolist()):
            low = np.floor(result.boxes[index, :2]).astype(int).clip(0)
            high = np.ceil(result.boxes[index, 2:]).astype(int).clip(max=(width, height))
            if (low < high).all():
                crop = result.image[low[1] : high[1], low[0] : high[0]]
                target = folder / "crops" / folders[class_id] / item.stem
                save_image(crop, with_suffix(target, f"_{index + 1}.jpg"))

    yield write
