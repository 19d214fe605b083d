"""Records of a dozen noise images, wide, high and square in turn, with one annotated box each."""

from pathlib import Path

from detectron2.structures import BoxMode
from made_coco import noise_image

SIZES = ((48, 40), (40, 48), (44, 44), (52, 36))  # width, height


def made_photos(folder: Path, count: int = 12) -> list[dict]:
    """Dataset dicts of `count` images that are written to `folder`; image_id is the position in the list."""
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
