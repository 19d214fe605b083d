"""A small synthetic dataset in COCO format: three images, polygon and RLE masks, one image without annotations."""

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 64, 48


def coco_content() -> dict:
    """Return a COCO file with non-contiguous category ids; image 30 is empty; 103 is a crowd in uncompressed RLE."""
    rows = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    rows[10:20, 5:15] = 1
    return {
        "images": [
            {"id": 20, "file_name": "b.png", "width": WIDTH, "height": HEIGHT},
            {"id": 10, "file_name": "a.png", "width": WIDTH, "height": HEIGHT},
            {"id": 30, "file_name": "c.png", "width": WIDTH, "height": HEIGHT},
        ],
        "annotations": [
            _annotation(101, 10, 900, [8, 8, 16, 16], [[8, 8, 24, 8, 24, 24, 8, 24]]),
            _annotation(102, 10, -5, [30, 20, 20, 10], [[30, 20, 50, 20, 40, 30]]),
            _annotation(103, 20, 900, [5, 10, 10, 10], {"size": [HEIGHT, WIDTH], "counts": run_lengths(rows)}, 1),
            _annotation(104, 20, 7, [0, 0, 10, 40], [[0, 0, 10, 0, 10, 40, 0, 40]]),
        ],
        "categories": [{"id": 900, "name": "nut"}, {"id": -5, "name": "bolt"}, {"id": 7, "name": "gear"}],
    }


def run_lengths(mask: np.ndarray) -> list[int]:
    """Return the uncompressed RLE counts of a binary mask: column-major, starting with the zeros."""
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    return runs if flat[0] == 0 else [0, *runs]


def _annotation(
    annotation_id: int, image_id: int, category_id: int, box: list, mask: list | dict, crowd: int = 0
) -> dict:
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": box,
        "segmentation": mask,
        "area": 100.0,
        "iscrowd": crowd,
    }


def noise_image(height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
