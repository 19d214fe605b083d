"""Noise images of different aspect ratios with one annotated box each, and a mapper with random augmentations."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from synthetic_coco import noise_image

from detectron2_ext.data import TrainingMapper

SIZES = ((48, 40), (40, 48), (44, 44), (52, 36))  # width, height


def write_photos(folder: Path, count: int = 12) -> list[dict]:
    """Write `count` images to `folder` and return their dataset dicts; image_id is the index in the list."""
    records = []
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        file = folder / f"{number}.png"
        noise_image(height, width).save(file)
        annotation = {
            "bbox": [4, 6, 20, 16],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": number % 3,
            "segmentation": [[4, 6, 24, 6, 24, 22, 4, 22]],
            "iscrowd": 0,
        }
        records.append(
            {
                "file_name": str(file),
                "image_id": number,
                "width": width,
                "height": height,
                "annotations": [annotation],
            }
        )
    return records


def jitter_mapper(**options: object) -> TrainingMapper:
    """Return a mapper that randomly flips, scales and crops images to at most 32x32 pixels."""
    augmentations = [
        T.RandomFlip(horizontal=True),
        T.ResizeScale(min_scale=0.5, max_scale=2.0, target_height=40, target_width=40),
        T.FixedSizeCrop(crop_size=(32, 32), pad=False),
    ]
    return TrainingMapper(augmentations=augmentations, image_format="RGB", use_instance_mask=True, **options)


def draw_batches(loader: Iterable[list[dict]], count: int) -> list[list[dict]]:
    """Return the first `count` batches."""
    return list(islice(iter(loader), count))
