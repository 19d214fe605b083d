"""COCO evaluation by hotcoco (the evaluators' default) against pycocotools: 1,000 images, about 70,000 detections.

Timed from result records to precision and recall, on synthetic data of 80 categories; both must give the same numbers.

    python -m benchmarks.coco_evaluation [--rounds 3] [--images 1000]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util

from detectron2_ext.evaluation.coco_metrics import measure_coco
from detectron2_ext.evaluation.ground_truth import read_ground_truth
from detectron2_ext.evaluation.predictions import to_numbers

from .harness.figure import Figure, record

WIDTH, HEIGHT, NUM_CATEGORIES = 640, 480, 80
ANGLES = np.linspace(0, 2 * np.pi, 16, endpoint=False)


def make_data(num_images: int, seed: int = 0) -> tuple[dict, list[dict]]:
    """Return ground truth with about 7 objects per image, and 70 detections per image, half of them near an object."""
    rng = np.random.default_rng(seed)
    images: list[dict] = []
    annotations: list[dict] = []
    detections: list[dict] = []
    for image_id in range(1, num_images + 1):
        images.append({"id": image_id, "width": WIDTH, "height": HEIGHT, "file_name": f"{image_id}.jpg"})
        boxes = _draw_boxes(rng, int(rng.integers(0, 15)))
        classes = rng.integers(1, NUM_CATEGORIES + 1, len(boxes))
        for box, category_id in zip(boxes, classes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(category_id),
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3] * 0.7),
                    "iscrowd": int(rng.random() < 0.01),
                    "segmentation": [_ellipse(box)],
                }
            )
        near = rng.integers(0, len(boxes), 35).tolist() if len(boxes) else []
        found = [boxes[i] + rng.normal(0, 0.1, 4) * boxes[i, [2, 3, 2, 3]] for i in near]
        shapes = np.concatenate([np.reshape(found, (-1, 4)), _draw_boxes(rng, 70 - len(near))])
        shapes[:, 2:] = np.maximum(shapes[:, 2:], 2)
        labels = [*(classes[i] for i in near), *rng.integers(1, NUM_CATEGORIES + 1, 70 - len(near))]
        for box, category_id in zip(shapes, labels, strict=True):
            rle = mask_util.frPyObjects([_ellipse(box)], HEIGHT, WIDTH)[0]
            detections.append(
                {
                    "image_id": image_id,
                    "category_id": int(category_id),
                    "bbox": box.tolist(),
                    "score": float(np.float32(rng.random())),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                }
            )
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, NUM_CATEGORIES + 1)]
    return {"images": images, "annotations": annotations, "categories": categories}, detections


def _draw_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    size = np.exp(rng.uniform(np.log(12), np.log([WIDTH, HEIGHT]), (count, 2)))
    return np.concatenate([rng.uniform(0, 1, (count, 2)) * ([WIDTH, HEIGHT] - size), size], axis=1)


def _ellipse(box: np.ndarray) -> list[float]:
    x, y, w, h = box
    return np.stack([x + w / 2 * (1 + np.cos(ANGLES)), y + h / 2 * (1 + np.sin(ANGLES))], axis=1).ravel().tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000)
    args = parser.parse_args()
    content, detections = make_data(args.images)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "ground_truth.json")
        file.write_text(json.dumps(content))
        truth = read_ground_truth(file)
    print(f"{args.images} images, {len(truth.annotations)} annotations, {len(detections)} detections")
    for task in ("bbox", "segm"):
        times: dict[str, list[float]] = {"pycocotools": [], "hotcoco": []}
        curves = {}
        for _ in range(args.rounds):
            for backend, seconds in times.items():
                start = time.perf_counter()
                curves[backend] = measure_coco(truth, to_numbers(detections, task, truth), task, backend=backend)
                seconds.append(time.perf_counter() - start)
        difference = np.abs(curves["hotcoco"].precision - curves["pycocotools"].precision).max()
        slow, fast = (statistics.median(seconds) for seconds in times.values())
        print(
            f"{task}: pycocotools {slow:.2f} s, hotcoco {fast:.2f} s, medians of {args.rounds} rounds in turn; "
            f"pycocotools / hotcoco: {slow / fast:.0f}x; AP {curves['hotcoco'].ap_metrics()['AP']:.3f}, "
            f"largest difference in precision {difference:.1e}",
            flush=True,
        )
        title = f"{'boxes' if task == 'bbox' else 'masks'}, {len(detections):,} detections"
        record(Figure(title, "time", "s", fast, "pycocotools", slow))


if __name__ == "__main__":
    main()
