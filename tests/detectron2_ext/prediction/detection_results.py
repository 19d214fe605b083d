"""Results made of known boxes and masks."""

import numpy as np
import pycocotools.mask as mask_util

from detectron2_ext.prediction.result import DetectionResult

NAMES, IDS = ("cat", "=dog/../x"), (7, 9)
SIZE = (60, 80)


def shapes() -> list[np.ndarray]:
    """Return the masks [60, 80]: a disc, a square with a hole, and two separate rectangles."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    disc = (rows - 20) ** 2 + (columns - 20) ** 2 <= 15**2
    ring = (abs(rows - 40) <= 12) & (abs(columns - 55) <= 12) & ~((abs(rows - 40) <= 3) & (abs(columns - 55) <= 3))
    parts = np.zeros(SIZE, bool)
    parts[2:9, 40:60] = parts[50:56, 4:10] = True
    return [disc, ring, parts]


def make_result(*, masks: bool = True, path: str = "a.png") -> DetectionResult:
    found = shapes()
    boxes = []
    for mask in found:
        rows, columns = np.nonzero(mask)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    rles = [mask_util.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in found]
    image = np.arange(SIZE[0] * SIZE[1] * 3, dtype=np.uint32).reshape(*SIZE, 3).astype(np.uint8)
    return DetectionResult(
        path=path,
        image=image,
        size=SIZE,
        class_names=NAMES,
        category_ids=IDS,
        class_ids=np.array([1, 0, 1]),
        scores=np.array([0.9, 0.75, 0.5], np.float32),
        boxes=np.array(boxes, np.float32),
        rles=rles if masks else None,
        reached_limits=("3 detections",),
    )
